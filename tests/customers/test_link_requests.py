"""Typing an address: neither the answer nor its time tells whether it is known, and no inbox can be flooded."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from math import erfc, sqrt
from threading import Barrier

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from feedback_app.app import create_app
from feedback_app.config import Settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.link_requests import handle_typed_addresses, has_typed_addresses, save_typed_address
from feedback_app.customers.models import Customer, Frequency, TypedAddress, TypedFor
from feedback_app.customers.services import MOST_LINKS_A_DAY, find_customer
from feedback_app.customers.subscriptions import SubscriptionRequest
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest
from feedback_app.privacy.erasing import erase_customer
from feedback_app.privacy.export import export_customer
from feedback_app.privacy.retention import purge
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import BACKENDS, SQLITE
from tests.support.mailings import worker_to
from tests.support.people import ALICE, CAROL, Person, welcome
from tests.support.preference_pages import ASK, SUBSCRIBE, TESS, rows, send
from tests.support.smtp import MailServer

SIGNED_UP = {"specials": "y", "frequency": "each"}
SUBSCRIPTION = SubscriptionRequest((Topic.SPECIALS,), Frequency.EACH)


@dataclass(frozen=True, slots=True)
class Form:
    """A page with a form for an address."""

    path: str
    fields: dict[str, str]


FORMS = {"a link": Form(ASK, {}), "a subscription": Form(SUBSCRIBE, SIGNED_UP)}


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    """Each such form in turn."""
    return FORMS[str(request.param)]


@pytest.fixture
def patient(make_settings: Callable[..., Settings], store: Store, clock: Clock) -> Flask:
    """The app without rate limits, because a test presses the button more often than people do."""
    assert clock.now() == OPPS_DAY
    app = create_app(make_settings(rate_limits="off"), store)
    app.testing = True
    return app


def chance_that_alike(one: list[float], other: list[float]) -> float:
    """Return the p-value of Mann and Whitney's U test (two-sided) for two samples of times."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    ranks = sum(place for place, (_, is_one) in enumerate(ranked, 1) if is_one)
    expected = len(one) * (len(one) + len(other) + 1) / 2
    spread = sqrt(len(one) * len(other) * (len(one) + len(other) + 1) / 12)
    return erfc(abs(ranks - expected) / spread / sqrt(2))


def seconds_for(client: FlaskClient, form: Form, token: str, address: str) -> float:
    """Return how long the answer to an address takes, in seconds."""
    fields = {"csrf_token": token, "email": address, **form.fields}
    start = time.perf_counter()
    answer = client.post(form.path, data=fields)
    seconds = time.perf_counter() - start
    assert answer.status_code == 303
    return seconds


def token_of(client: FlaskClient, form: Form) -> str:
    """Open a form in this browser and return its token."""
    field = BeautifulSoup(client.get(form.path).text, "html.parser").select_one("form [name=csrf_token]")
    assert field
    return str(field["value"])


def test_the_answer_is_the_same_for_known_and_unknown_addresses(
    patient: Flask, store: Store, form: Form, clock: Clock
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    carol = welcome(store, CAROL, now=OPPS_DAY)
    with store.writing() as session:
        erase_customer(session, session.get_one(Customer, carol), now=clock.now())
    answers = [
        send(patient.test_client(), form.path, {"email": address, **form.fields})
        for address in (TESS, ALICE.address, CAROL.address)
    ]
    assert len({(answer.status, answer.data, str(answer.headers)) for answer in answers}) == 1
    before, after = rows(store), {answer.headers["Location"] for answer in answers}
    [page] = after
    assert "on its way" in patient.test_client().get(page).text
    assert rows(store) == before


def test_the_answer_takes_as_long_for_known_and_unknown_addresses(patient: Flask, store: Store, form: Form) -> None:
    """Known and unknown addresses take turns, so that other work of the machine affects both alike.

    A look-up on the page shows in every round: when one was tried, p was below 0.00001 each time. To fail without one,
    three rounds in a row must have p below 0.001.
    """
    people = [Person(f"Known {number}", f"known{number}@example.com") for number in range(40)]
    for one in people:
        welcome(store, one, now=OPPS_DAY, specials=Frequency.EACH)
    client = patient.test_client()
    token = token_of(client, form)
    chances = []
    for turn in range(3):
        known: list[float] = []
        unknown: list[float] = []
        for number, one in enumerate(people):
            stranger = f"other{turn}x{number:02}@example.com"
            order = [(known, one.address), (unknown, stranger)]
            for samples, address in order if number % 2 else reversed(order):
                samples.append(seconds_for(client, form, token, address))
        chances.append(chance_that_alike(known, unknown))
        if chances[-1] > 0.001:
            return
    pytest.fail(f"the time tells who is known: {chances}")


def test_the_timing_test_would_notice_a_look_up() -> None:
    steady = [0.002 + 0.0001 * (number % 7) for number in range(40)]
    slower = [seconds + 0.0004 for seconds in steady]
    assert chance_that_alike(steady, slower) < 0.001
    around = [seconds + 0.00001 * (-1) ** number for number, seconds in enumerate(steady)]
    assert chance_that_alike(steady, around) > 0.1


def test_hundreds_of_requests_for_an_address_send_few_letters(
    store: Store, sink: MailServer, clock: Clock, form: Form
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, news=Frequency.EACH)
    what_for = TypedFor.SUBSCRIBING if form.path == SUBSCRIBE else TypedFor.PREFERENCES
    spellings = [ALICE.address, ALICE.address.upper(), "Alice@Example.COM", "alice@EXAMPLE.com"]
    worker = worker_to(sink, store)
    for _ in range(9):
        with store.writing() as session:
            for written in spellings * 6:
                subscription = SUBSCRIPTION if what_for is TypedFor.SUBSCRIBING else None
                save_typed_address(
                    session, Address.parse(written), what_for, subscription=subscription, now=clock.now()
                )
        worker.work_once()
        clock.advance(minutes=30)
    assert len(sink.letters) == (1 if what_for is TypedFor.SUBSCRIBING else MOST_LINKS_A_DAY)
    with store.reading() as session:
        assert not has_typed_addresses(session)
    clock.advance(days=1)
    with store.writing() as session:
        subscription = SUBSCRIPTION if what_for is TypedFor.SUBSCRIBING else None
        save_typed_address(session, Address.parse(ALICE.address), what_for, subscription=subscription, now=clock.now())
    before = len(sink.letters)
    worker.work_once()
    assert len(sink.letters) == before + 1


def test_a_network_can_type_only_so_many_addresses(app: Flask, store: Store, form: Form) -> None:
    client = app.test_client()
    token = token_of(client, form)
    answers = [
        client.post(form.path, data={"csrf_token": token, "email": f"a{number}@example.com", **form.fields})
        for number in range(31)
    ]
    assert [answer.status_code for answer in answers] == [303] * 30 + [429]
    page = BeautifulSoup(answers[-1].text, "html.parser")
    assert page.select_one("#email[value='a30@example.com']")
    assert "wait a minute" in page.get_text()
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(TypedAddress)) == 30


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_mailers_at_once_send_one_letter(store: Store) -> None:
    for written in (TESS, TESS.upper()) * 3:
        with store.writing() as session:
            save_typed_address(
                session, Address.parse(written), TypedFor.SUBSCRIBING, subscription=SUBSCRIPTION, now=OPPS_DAY
            )
    together = Barrier(3)

    def look(_: int) -> int:
        together.wait(30)
        return store.write(lambda session: handle_typed_addresses(session, now=OPPS_DAY, quiet=True))

    with ThreadPoolExecutor(3) as mailers:
        assert sum(mailers.map(look, range(3))) == 6
    with store.reading() as session:
        assert len(session.scalars(select(Customer)).all()) == 1
        assert [one.kind for one in session.scalars(select(LetterRequest))] == [LetterKind.CONFIRM_SUBSCRIPTION]


def test_a_typed_address_is_sealed_exported_and_erased(store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY)
    with store.writing() as session:
        save_typed_address(session, Address.parse(ALICE.address), TypedFor.PREFERENCES, now=OPPS_DAY)
    with store.reading() as session:
        [row] = session.scalars(select(TypedAddress))
        assert ALICE.address.encode() not in row.address
        held = export_customer(session, session.get_one(Customer, alice))
        assert held["letter_requests"]["data"][0]["kind"] == "typed for preferences"
    with store.writing() as session:
        erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY)
    with store.reading() as session:
        assert not has_typed_addresses(session)


def test_a_typed_address_is_purged_after_a_week(store: Store) -> None:
    with store.writing() as session:
        save_typed_address(session, Address.parse(TESS), TypedFor.PREFERENCES, now=OPPS_DAY)
    for days, waits in ((6.9, True), (7, False)):
        with store.writing() as session:
            purge(session, now=OPPS_DAY + timedelta(days=days))
        with store.reading() as session:
            assert has_typed_addresses(session) == waits


def test_a_typed_address_without_its_key_delays_no_other(store: Store) -> None:
    with store.writing() as session:
        save_typed_address(session, Address.parse(TESS), TypedFor.PREFERENCES, now=OPPS_DAY)
        save_typed_address(session, Address.parse(ALICE.address), TypedFor.PREFERENCES, now=OPPS_DAY)
    with store.writing() as session:
        row = session.scalars(select(TypedAddress).order_by(TypedAddress.id)).first()
        assert row
        row.address = row.address[:-1] + bytes([row.address[-1] ^ 1])
    with store.writing() as session:
        assert handle_typed_addresses(session, now=OPPS_DAY, quiet=True) == 2
    with store.reading() as session:
        assert find_customer(session, Address.parse(TESS)) is None
        assert find_customer(session, Address.parse(ALICE.address)) is not None
        assert not has_typed_addresses(session)
