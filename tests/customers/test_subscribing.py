"""Subscribing on the blog: nothing counts until the link in the letter was used, and then the record proves it."""

import re
from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import may_write_to
from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    Customer,
    Frequency,
    Suppression,
    SuppressionReason,
    Wording,
)
from feedback_app.customers.services import find_customer, suppression_of
from feedback_app.customers.subscriptions import SUBSCRIPTION_FREQUENCIES, SubscriptionRequest
from feedback_app.customers.topics import SUBSCRIBABLE, Topic
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import SQLITE
from tests.support.mailings import html_of, read, text_of, worker_to
from tests.support.people import ALICE, welcome
from tests.support.preference_pages import (
    ONE_CLICK,
    SUBSCRIBE,
    TESS,
    choices_of,
    record_of,
    rows,
    send,
    told,
    unsubscribe_path,
)
from tests.support.smtp import MailServer

LINK = re.compile(r"http://127\.0\.0\.1:8000(/feedback/subscribe/[\w=-]+)")
WEEKLY_NEWS = {"news": "y", "frequency": "weekly"}


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


def asks(client: FlaskClient, address: str, **fields: str) -> None:
    """Type an address into the form."""
    answer = send(client, SUBSCRIBE, {"email": address, **(fields or WEEKLY_NEWS)})
    assert answer.status_code == 303


def comes(store: Store, sink: MailServer) -> bytes:
    """Let the mailer work; return the newest letter."""
    worker_to(sink, store, site_url="http://127.0.0.1:8000").work_once()
    return sink.letters[-1].data


def link_in(letter: bytes) -> str:
    """Return the path of the link that confirms."""
    found = LINK.search(text_of(letter))
    assert found, "there is no link in the letter"
    return found.group(1)


def number_of(store: Store, address: str) -> int:
    """Return the id of the customer with an address."""
    with store.reading() as session:
        customer = find_customer(session, Address.parse(address))
        assert customer
        return customer.id


def test_a_reader_who_uses_the_link_is_subscribed_as_they_chose(
    client: FlaskClient, store: Store, sink: MailServer, clock: Clock
) -> None:
    asks(client, TESS)
    typed_at = clock.now()
    letter = comes(store, sink)
    assert read(letter)["To"] == TESS
    assert Topic.NEWS.info.wording in text_of(letter)
    assert Topic.SPECIALS.info.wording not in text_of(letter)
    assert "Yes, subscribe me" in html_of(letter)
    tess = number_of(store, TESS)
    assert choices_of(store, tess) == {}
    with store.reading() as session:
        assert not may_write_to(session, session.get_one(Customer, tess), Topic.NEWS, now=clock.now())
    clock.advance(hours=5)
    link, before = link_in(letter), rows(store)
    page = client.get(link)
    assert "t…@e…" in told(page)
    assert TESS not in page.text
    assert Topic.NEWS.info.wording in told(page)
    assert rows(store) == before
    assert "news from the blog: weekly" in told(send(client, link, {}))
    assert choices_of(store, tess) == {Topic.NEWS: Frequency.WEEKLY}
    given_line, confirmed = record_of(store, tess)
    assert (given_line.action, given_line.at) == (ConsentAction.GIVEN, typed_at)
    assert (confirmed.action, confirmed.at) == (ConsentAction.CONFIRMED, clock.now())
    assert {given_line.channel, confirmed.channel} == {ConsentChannel.SUBSCRIBE}
    with store.reading() as session:
        assert session.get_one(Wording, confirmed.wording_hash).text == Topic.NEWS.info.wording
        assert may_write_to(session, session.get_one(Customer, tess), Topic.NEWS, now=clock.now())
        assert not may_write_to(session, session.get_one(Customer, tess), Topic.SPECIALS, now=clock.now())


def test_a_link_that_is_used_twice_adds_nothing(client: FlaskClient, store: Store, sink: MailServer) -> None:
    asks(client, TESS)
    link = link_in(comes(store, sink))
    send(client, link, {})
    before = rows(store)
    assert "already" in told(send(client, link, {}))
    assert rows(store) == before


def test_a_link_from_before_a_no_does_not_overrule_it(
    client: FlaskClient, store: Store, sink: MailServer, desk: LetterContext, clock: Clock
) -> None:
    asks(client, TESS)
    link = link_in(comes(store, sink))
    send(client, link, {})
    clock.advance(hours=1)
    client.post(unsubscribe_path(desk, number_of(store, TESS), Topic.NEWS), data=ONE_CLICK)
    before = rows(store)
    answer = client.get(link)
    assert answer.status_code == 410
    assert "This link no longer works" in answer.text
    assert client.post(link).status_code == 410
    assert rows(store) == before


def test_an_expired_link_subscribes_nobody(client: FlaskClient, store: Store, sink: MailServer, clock: Clock) -> None:
    asks(client, TESS)
    link = link_in(comes(store, sink))
    clock.advance(days=7)
    assert client.get(link).status_code == 200
    clock.advance(days=1)
    before = rows(store)
    assert client.get(link).status_code == 404
    assert client.post(link).status_code == 404
    assert rows(store) == before


def test_a_forged_confirmation_subscribes_nobody(client: FlaskClient, store: Store, sink: MailServer) -> None:
    asks(client, TESS)
    link, before = link_in(comes(store, sink)), rows(store)
    answer = client.post(link, data={"csrf_token": "forged"})
    assert answer.status_code == 400
    assert "send it again" in told(answer)
    assert rows(store) == before


def test_a_subscriber_is_told_so_by_letter_and_not_by_the_page(
    client: FlaskClient, store: Store, sink: MailServer
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, news=Frequency.WEEKLY)
    before = choices_of(store, alice)
    asks(client, ALICE.address)
    said = text_of(comes(store, sink))
    assert "you already get" in said
    assert "/feedback/preferences/" in said
    assert not LINK.search(said)
    assert choices_of(store, alice) == before


def test_a_customer_keeps_their_choices_until_they_confirm_more(
    client: FlaskClient, store: Store, sink: MailServer
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.MONTHLY)
    asks(client, ALICE.address, specials="y", news="y", frequency="each")
    link = link_in(comes(store, sink))
    assert choices_of(store, alice) == {Topic.SPECIALS: Frequency.MONTHLY}
    send(client, link, {})
    assert choices_of(store, alice) == {Topic.SPECIALS: Frequency.EACH, Topic.NEWS: Frequency.EACH}


@pytest.mark.parametrize("reason", SuppressionReason)
def test_a_suppressed_address_gets_no_letter(
    client: FlaskClient, store: Store, sink: MailServer, reason: SuppressionReason
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY)
    with store.writing() as session:
        fingerprint = session.get_one(Customer, alice).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=reason, at=OPPS_DAY))
    asks(client, ALICE.address.upper())
    worker_to(sink, store).work_once()
    assert sink.letters == []
    with store.reading() as session:
        assert suppression_of(session, Address.parse(ALICE.address))


def test_a_form_without_address_or_topic_is_refused_and_kept(client: FlaskClient, store: Store) -> None:
    before = rows(store)
    for fields, wrong in (
        ({"email": "tess", "news": "y", "frequency": "weekly"}, "email"),
        ({"email": "", "news": "y", "frequency": "weekly"}, "email"),
        ({"email": TESS, "frequency": "weekly"}, "news"),
        ({"email": TESS, "news": "y", "frequency": "never"}, "frequency"),
        ({"email": TESS, "news": "y", "frequency": "hourly"}, "frequency"),
        ({"email": TESS, "replies": "y", "frequency": "each"}, "news"),
    ):
        answer = send(client, SUBSCRIBE, fields)
        assert answer.status_code == 400
        page = BeautifulSoup(answer.text, "html.parser")
        assert page.select_one(f"#{wrong}-error")
        email = page.select_one("#email")
        assert email
        assert email["value"] == fields["email"]
        assert bool(page.select_one("#news[checked]")) == ("news" in fields)
    assert rows(store) == before


def test_nothing_is_ticked_beforehand(client: FlaskClient) -> None:
    page = BeautifulSoup(client.get(SUBSCRIBE).text, "html.parser")
    assert len(page.select("input[type=checkbox]")) == len(SUBSCRIBABLE)
    assert page.select("input[type=checkbox][checked]") == []


def test_an_address_gets_one_confirmation_letter_a_day(
    client: FlaskClient, store: Store, sink: MailServer, clock: Clock
) -> None:
    for _ in range(3):
        asks(client, TESS)
        worker_to(sink, store).work_once()
        clock.advance(hours=7)
    assert len(sink.letters) == 1
    clock.advance(hours=4)
    asks(client, TESS)
    worker_to(sink, store).work_once()
    assert len(sink.letters) == 2
    assert clock.now() - OPPS_DAY > timedelta(days=1)


subscriptions = st.builds(
    SubscriptionRequest,
    st.sets(st.sampled_from(SUBSCRIBABLE), min_size=1).map(
        lambda some: tuple(topic for topic in SUBSCRIBABLE if topic in some)
    ),
    st.sampled_from(SUBSCRIPTION_FREQUENCIES),
)


@given(subscriptions)
def test_a_request_survives_its_link_and_its_stored_form(subscription: SubscriptionRequest) -> None:
    assert SubscriptionRequest.of_code(subscription.code) == subscription
    assert SubscriptionRequest.of_json(subscription.as_json()) == subscription
    assert 0 < subscription.code < 2**16
