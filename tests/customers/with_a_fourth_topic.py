"""Checks that a new topic is everywhere, which test_topics.py runs in a copy of the program with one more row.

The new topic is `events`. Nothing but its row in `customers/topics.py` was added.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from flask.testing import FlaskClient

from feedback_app.api.models import Scope
from feedback_app.api.services import make_key
from feedback_app.app import create_app
from feedback_app.config import Settings
from feedback_app.customers.models import Customer, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.desk.figures import figures
from feedback_app.desk.figures_views import charts
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.mailings import services
from feedback_app.privacy.evidence import evidence_of
from tests.support.catalogues import extracted, untranslated
from tests.support.clock import OPPS_DAY, Clock
from tests.support.commands import typed
from tests.support.databases import SQLITE
from tests.support.mailings import about, held, html_of, read, text_of, worker_to
from tests.support.people import ALICE, BOB, welcome
from tests.support.preference_pages import (
    NOTHING_CHOSEN,
    ONE_CLICK,
    SUBSCRIBE,
    TESS,
    centre,
    choices_of,
    record_of,
    send,
    told,
    unsubscribe_path,
)
from tests.support.smtp import MailServer

EVENTS = Topic("events")
WORDING = "Events: you may write to me before something happens in the shop."


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


def test_the_preference_centre_shows_and_saves_it(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    page = centre(desk, bob)
    assert WORDING in told(client.get(page))
    answer = send(client, page, NOTHING_CHOSEN | {"events": "weekly"})
    assert "Events in the shop: weekly, in one letter (it was: never)." in told(answer)
    assert choices_of(store, bob)[EVENTS] is Frequency.WEEKLY
    assert "events in the shop, weekly, in one letter" in told(client.get(f"{page}/history"))
    token = BeautifulSoup(answer.text, "html.parser").select_one("form[action$='/undo'] [name=csrf_token]")
    assert token
    assert "It is as it was before." in told(client.post(f"{page}/undo", data={"csrf_token": str(token["value"])}))
    assert choices_of(store, bob)[EVENTS] is Frequency.NEVER


def test_the_subscribe_page_offers_it(client: FlaskClient, store: Store, sink: MailServer) -> None:
    page = BeautifulSoup(client.get(SUBSCRIBE).text, "html.parser")
    assert page.select_one("#events")
    assert "Tick at least one." in told(send(client, SUBSCRIBE, {"email": TESS, "frequency": "each"}))
    assert send(client, SUBSCRIBE, {"email": TESS, "events": "y", "frequency": "monthly"}).status_code == 303
    worker_to(sink, store, site_url="http://127.0.0.1:8000").work_once()
    letter = text_of(sink.letters[-1].data)
    assert WORDING in letter
    link = next(word for word in letter.split() if "/feedback/subscribe/" in word)
    assert "about events in the shop: monthly" in told(send(client, link.removeprefix("http://127.0.0.1:8000"), {}))


@pytest.mark.parametrize("fields", [{}, ONE_CLICK])
def test_its_unsubscribe_link_works(
    client: FlaskClient, store: Store, desk: LetterContext, fields: dict[str, str]
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, events=Frequency.EACH, news=Frequency.EACH)
    link = unsubscribe_path(desk, bob, EVENTS)
    assert "No more events in the shop?" in client.get(link).text
    assert "no more letters about events in the shop" in told(client.post(link, data=fields))
    assert choices_of(store, bob) == {EVENTS: Frequency.NEVER, Topic.NEWS: Frequency.EACH}
    assert record_of(store, bob)[-1].topic is EVENTS


def test_a_mailing_and_its_digest_reach_those_who_chose_it(store: Store, sink: MailServer, clock: Clock) -> None:
    welcome(store, ALICE, now=OPPS_DAY, events=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, events=Frequency.WEEKLY)
    held(store, replace(about("sock-day"), topic=EVENTS), minutes=0, clock=clock)
    worker_to(sink, store, hold_minutes="0").work_once()
    clock.advance(days=7)
    worker_to(sink, store, hold_minutes="0").work_once()
    letter, digest = sink.letters
    assert letter.recipients == (ALICE.address,)
    assert "because you chose to hear about events in our shop" in text_of(letter.data)
    assert str(read(letter.data)["List-Id"]).startswith("<events.")
    assert digest.recipients == (BOB.address,)
    assert read(digest.data)["Subject"] == "Events: the last week"
    assert "because you chose to hear about events in our shop" in html_of(digest.data)


def test_a_letter_left_out_gives_the_reason_to_its_reader(
    client: FlaskClient, store: Store, sink: MailServer, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, events=Frequency.EACH)
    held(store, replace(about("sock-day"), topic=EVENTS), minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
    client.post(unsubscribe_path(desk, bob, EVENTS))
    worker_to(sink, store).work_once()
    assert not sink.letters
    page = told(client.get(f"{centre(desk, bob)}/letters"))
    assert "Free socks (events in the shop). Not sent: the customer does not want events." in page


def test_programs_can_ask_about_it(client: FlaskClient, store: Store) -> None:
    welcome(store, BOB, now=OPPS_DAY, events=Frequency.WEEKLY)
    with store.writing() as session:
        key = make_key(session, "till", [Scope.AUDIENCE], who="owner", now=OPPS_DAY)
    answer = client.get("/feedback/api/v1/audience?topic=events", headers={"Authorization": f"Bearer {key}"})
    assert [json.loads(line)["address"] for line in answer.text.splitlines()] == [BOB.address]
    description = json.loads(client.get("/feedback/api/v1/openapi.json").text)
    for schema in (
        description["components"]["parameters"]["topic"]["schema"],
        description["components"]["schemas"]["Answer"]["properties"]["topic"],
    ):
        assert schema["enum"] == ["specials", "news", "replies", "events"]


def test_commands_know_it(settings: Settings, store: Store, tmp_path: Path) -> None:
    assert store
    file = tmp_path / "customers.csv"
    file.write_text(f"email\n{BOB.address}\n", encoding="utf-8")
    said = typed(settings, "customers", "import", str(file), "--topic", "events", "--evidence", "a list at the till")
    assert said.startswith("1 added")
    assert json.loads(typed(settings, "audience", "events", "--json")) == [{"address": BOB.address, "name": None}]
    assert "events each" in typed(settings, "customers", "show", BOB.address)


def test_the_owners_figures_count_it(store: Store) -> None:
    welcome(store, BOB, now=OPPS_DAY, events=Frequency.WEEKLY)
    with store.reading() as session:
        drawn = charts(figures(session, now=OPPS_DAY))
    assert "Events, weekly: 1" in [bar.words for bar in drawn[0].bars]
    assert drawn[-1].title == "Events: joined and left, month by month"


def test_the_evidence_names_it(store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, events=Frequency.EACH)
    with store.reading() as session:
        document = evidence_of(session, session.get_one(Customer, bob), desk.settings, desk.signer, now=OPPS_DAY)
    assert "events     each" in document
    assert WORDING in document


def test_pages_in_german_work_before_it_is_translated(
    make_settings: Callable[..., Settings], store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=clock.now())
    client = create_app(make_settings(languages="en,de"), store).test_client()
    page = client.get(centre(desk, bob), headers={"Accept-Language": "de"})
    assert WORDING in page.text
    assert "Worüber dürfen wir Ihnen schreiben?" in page.text


def test_the_catalogues_test_names_its_missing_translations() -> None:
    assert untranslated("de") == {text for text in extracted() if "event" in text.lower()}
    assert WORDING in untranslated("de")
