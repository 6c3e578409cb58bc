"""Customers read pages and letters in their language, completely translated."""

import io
import re
from collections.abc import Callable

import pytest
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup
from flask.testing import FlaskClient

from feedback_app.app import create_app
from feedback_app.config import LANGUAGES, Settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import Customer, Frequency, Wording
from feedback_app.customers.services import request_link
from feedback_app.customers.subscriptions import SubscriptionRequest, request_confirmation
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.i18n import ENGLISH, said
from feedback_app.mailing.letters.context import LetterContext
from tests.support.catalogues import catalogue_path, extracted, translated, untranslated
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import SQLITE
from tests.support.mailings import about, held, html_of, read, text_of, worker_to
from tests.support.people import ALICE, BOB, CAROL, welcome
from tests.support.preference_pages import NOTHING_CHOSEN, centre, record_of, send, told, unsubscribe_path
from tests.support.smtp import MailServer

OTHERS = sorted(set(LANGUAGES) - {ENGLISH})
PLACES = re.compile(r"%\(\w+\)s|<[^>]+>")
SHOP = "http://127.0.0.1:8000"


@pytest.fixture
def backend() -> str:
    """One database: the kind makes no difference here."""
    return SQLITE


@pytest.fixture
def client(make_settings: Callable[..., Settings], store: Store, clock: Clock) -> FlaskClient:
    """A browser at a shop with English and German, English first."""
    assert clock.now() == OPPS_DAY
    app = create_app(make_settings(languages="en,de"), store)
    app.testing = True
    return app.test_client()


# The catalogues


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_translates_every_text_and_no_other(language: str) -> None:
    assert not (missing := untranslated(language)), f"not translated into {language}: {sorted(missing)}"
    assert not (unused := set(translated(language)) - extracted()), f"not in the code any more: {sorted(unused)}"


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_keeps_placeholders_and_tags(language: str) -> None:
    for text, translation in translated(language).items():
        assert sorted(PLACES.findall(translation)) == sorted(PLACES.findall(text)), text
        assert "@" not in translation.replace("name@example.com", "").replace(" @", "")


@pytest.mark.parametrize("language", OTHERS)
def test_the_compiled_catalogue_matches_its_source(language: str) -> None:
    with catalogue_path(language, "po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    assert compiled.getvalue() == catalogue_path(language, "mo").read_bytes()


# Pages


def language_of(page: str) -> str:
    """Return the language that a page declares."""
    html = BeautifulSoup(page, "html.parser").html
    assert html
    return str(html["lang"])


@pytest.mark.parametrize(
    ("asked", "language"),
    [("de", "de"), ("de-AT,en;q=0.5", "de"), ("en-GB,de;q=0.5", "en"), ("fr", "en"), ("", "en"), ("%FF", "en")],
)
def test_a_page_is_in_the_browsers_language_if_the_shop_has_it(client: FlaskClient, asked: str, language: str) -> None:
    page = client.get("/feedback/subscribe", headers={"Accept-Language": asked})
    assert language_of(page.text) == language
    assert ("Abonnieren" in page.text) == (language == "de")


def test_a_customers_page_is_in_the_language_they_chose(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    with store.writing() as session:
        session.get_one(Customer, bob).language = "de"
    for place in ("", "/history", "/letters", "/erase", "/address"):
        page = client.get(centre(desk, bob) + place, headers={"Accept-Language": "en"})
        assert language_of(page.text) == "de", place
        assert not re.search(r"\b(the|your|you|letters)\b", told(page).replace("Offers: you", "")), place
    assert "Diese Briefe beenden" in client.get(unsubscribe_path(desk, bob)).text


def test_the_record_keeps_the_wording_in_the_pages_language(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    with store.writing() as session:
        session.get_one(Customer, bob).language = "de"
    answer = send(client, centre(desk, bob), NOTHING_CHOSEN | {"news": "weekly", "language": "de"})
    assert "Neues aus dem Blog: wöchentlich, in einem Brief (vorher: nie)." in told(answer)
    assert "15. Oktober 2007" in told(answer)
    [line] = [one for one in record_of(store, bob) if one.topic is Topic.NEWS]
    with store.reading() as session:
        assert session.get_one(Wording, line.wording_hash).text == said(Topic.NEWS.info.wording, "de")


def test_errors_are_in_german_too(client: FlaskClient) -> None:
    german = {"Accept-Language": "de"}
    page = client.get("/feedback/subscribe", headers=german)
    token = BeautifulSoup(page.text, "html.parser").select_one("[name=csrf_token]")
    assert token
    fields = {"csrf_token": str(token["value"]), "email": "a b@example.com", "frequency": "hourly"}
    answer = client.post("/feedback/subscribe", data=fields, headers=german)
    errors = [error.get_text() for error in BeautifulSoup(answer.text, "html.parser").select(".error")]
    assert errors == ["Das ist keine gültige Adresse.", "Kreuzen Sie mindestens eines an.", "Keine gültige Auswahl."]


def test_untranslated_pages_say_that_they_are_in_english(
    client: FlaskClient, make_settings: Callable[..., Settings], store: Store
) -> None:
    german = {"Accept-Language": "de"}
    for place in ("/feedback/nothing", "/feedback/comments/new?post=/no"):
        assert language_of(client.get(place, headers=german).text) == "en"
    for languages, language in (("en", "en"), ("de", "de"), ("de,en", "de")):
        other = create_app(make_settings(languages=languages), store).test_client()
        assert language_of(other.get("/feedback/preferences").text) == language


# Letters


def test_each_customer_gets_letters_in_their_language(store: Store, sink: MailServer, clock: Clock) -> None:
    for person, language in ((ALICE, None), (BOB, "de"), (CAROL, "tlh")):
        number = welcome(store, person, now=OPPS_DAY, specials=Frequency.EACH)
        with store.writing() as session:
            session.get_one(Customer, number).language = language
    held(store, about("free-socks"), minutes=0, clock=clock)
    with store.writing() as session:
        for person in (ALICE, BOB):
            request_link(session, Address.parse(person.address), now=clock.now(), quiet=False)
        subscription = SubscriptionRequest((Topic.NEWS,), Frequency.WEEKLY, "de")
        request_confirmation(
            session, Address.parse("tess@example.com"), subscription, asked_at=clock.now(), now=clock.now()
        )
    worker_to(sink, store, site_url=SHOP, languages="en,de").work_once()
    letters = {(one.recipients[0], str(read(one.data)["Subject"])): one.data for one in sink.letters}
    assert {subject for _, subject in letters} == {
        "Free socks",
        "Your link to Mongrel Socks",
        "Ihr Link zu Mongrel Socks",
        "Briefe von Mongrel Socks?",
    }
    for (address, subject), data in letters.items():
        german = address in {BOB.address, "tess@example.com"}
        assert ('<html lang="de">' in html_of(data)) == german, subject
        assert ("No more of these" in text_of(data)) == (subject == "Free socks" and not german)
    assert "weil Sie von unseren Angeboten hören möchten" in text_of(letters[BOB.address, "Free socks"])
    assert said(Topic.NEWS.info.wording, "de") in text_of(letters["tess@example.com", "Briefe von Mongrel Socks?"])


def test_a_digests_subject_is_in_its_customers_language(store: Store, sink: MailServer, clock: Clock) -> None:
    for person, language in ((ALICE, "en"), (BOB, "de")):
        number = welcome(store, person, now=OPPS_DAY, specials=Frequency.WEEKLY)
        with store.writing() as session:
            session.get_one(Customer, number).language = language
    held(store, about("free-socks"), minutes=0, clock=clock)
    worker_to(sink, store, languages="en,de", hold_minutes="0").work_once()
    clock.advance(days=7)
    worker_to(sink, store, languages="en,de", hold_minutes="0").work_once()
    assert sorted(str(read(letter.data)["Subject"]) for letter in sink.letters) == [
        "Angebote: die letzte Woche",
        "Offers: the last week",
    ]
