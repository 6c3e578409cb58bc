"""Digests: a letter a week or a month, made of what would have been sent; nothing twice, and nothing lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from feedback_app.customers.calendar import next_digest
from feedback_app.customers.consent import WORDINGS, choose
from feedback_app.customers.models import ConsentChannel, Customer, Frequency, Topic
from feedback_app.db import Store
from feedback_app.mailing import digests, services
from feedback_app.mailing.models import Delivery, DeliveryState, DigestItem, Mailing
from feedback_app.mailing.services import MailingRefused, cancel
from tests.conftest import OPPS_DAY, Clock
from tests.mailing.desk import about, counts, gather, held, html_of, read, reasons, text_of, worker_to
from tests.support.people import ALICE, BOB, CAROL, welcome
from tests.support.smtp import MailServer

MONDAY = datetime(2007, 10, 15, 8, tzinfo=UTC)
FIRST = datetime(2007, 11, 1, 8, tzinfo=UTC)
WEEKLY = "specials-weekly-2007-10-15"


def now_chooses(store: Store, person: int, frequency: Frequency, clock: Clock) -> None:
    """Somebody changes their mind."""
    with store.writing() as session:
        customer = session.get_one(Customer, person, with_for_update=True)
        wording = WORDINGS[Topic.SPECIALS]
        choose(
            session,
            customer,
            Topic.SPECIALS,
            frequency,
            channel=ConsentChannel.FORM,
            wording=wording,
            now=clock.now(),
        )


def sent(store: Store, sink: MailServer, clock: Clock, slug: str, body: str = "Hello {{ name }}.\n") -> None:
    """A mailing goes out now."""
    held(store, about(slug, body), minutes=0, clock=clock)
    worker_to(sink, store, hold_minutes="0").work_once()


def comes(store: Store, sink: MailServer, clock: Clock, moment: datetime) -> None:
    """A moment comes at which a worker is there."""
    clock.moment = moment
    worker_to(sink, store, hold_minutes="0").work_once()


def had(sink: MailServer, address: str) -> list[bytes]:
    """The letters to an address."""
    return [letter.data for letter in sink.letters if letter.recipients == (address,)]


def test_whoever_wants_a_letter_a_week_gets_all_of_the_weeks_in_one_on_monday(
    store: Store, sink: MailServer, clock: Clock
) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    gather(store, BOB)
    sent(store, sink, clock, "first", "Hello {{ name }}, the *first*.\n")
    clock.advance(days=1)
    sent(store, sink, clock, "second", "Hello {{ name }}, the second.\n")
    assert had(sink, ALICE.address) == []
    assert len(had(sink, BOB.address)) == 2
    assert counts(store, "first") == {"accepted": 1, "skipped": 1}
    assert "put off for the weekly digest" in reasons(store, "first")
    comes(store, sink, clock, MONDAY - timedelta(seconds=1))
    assert had(sink, ALICE.address) == []
    comes(store, sink, clock, MONDAY)
    [letter] = had(sink, ALICE.address)
    assert read(letter)["Subject"] == "Offers: the last week"
    text = text_of(letter)
    assert f"Hello {ALICE.name}, the *first*." in text
    assert f"Hello {ALICE.name}, the second." in text
    assert "<em>first</em>" in html_of(letter)
    assert "List-Unsubscribe" in read(letter)
    assert counts(store, WEEKLY) == {"accepted": 1}
    for later in (timedelta(minutes=5), timedelta(days=7), timedelta(days=30)):
        comes(store, sink, clock, MONDAY + later)
    assert len(had(sink, ALICE.address)) == 1
    assert len(had(sink, BOB.address)) == 2


def test_whoever_wants_a_letter_a_month_gets_it_on_the_first(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.MONTHLY)
    sent(store, sink, clock, "first")
    comes(store, sink, clock, MONDAY)
    assert sink.letters == []
    comes(store, sink, clock, FIRST)
    assert len(had(sink, ALICE.address)) == 1
    assert counts(store, "specials-monthly-2007-11-01") == {"accepted": 1}


def test_a_digest_says_to_each_what_was_put_off_for_them(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first", "The first.\n")
    gather(store, BOB, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "second", "The second.\n")
    comes(store, sink, clock, MONDAY)
    [to_alice], [to_bob] = had(sink, ALICE.address), had(sink, BOB.address)
    assert "The first." in text_of(to_alice)
    assert "The first." not in text_of(to_bob)
    assert "The second." in text_of(to_bob)


def test_a_digest_can_be_unsent_in_its_hold_like_any_mailing(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    clock.moment = MONDAY
    worker = worker_to(sink, store, hold_minutes="10")
    worker.work_once()
    with store.writing() as session:
        cancel(session, WEEKLY, now=clock.now())
    for days in (1, 7, 30):
        clock.advance(days=days)
        worker_to(sink, store).work_once()
    assert sink.letters == []


def test_whoever_says_no_before_monday_gets_no_digest_and_a_new_yes_does_not_bring_it_back(
    store: Store, sink: MailServer, clock: Clock
) -> None:
    [alice] = gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    clock.advance(hours=1)
    now_chooses(store, alice, Frequency.NEVER, clock)
    clock.advance(hours=1)
    now_chooses(store, alice, Frequency.WEEKLY, clock)
    comes(store, sink, clock, MONDAY)
    assert sink.letters == []


def test_whoever_has_paused_gets_the_digest_after_the_pause(store: Store, sink: MailServer, clock: Clock) -> None:
    [alice] = gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    with store.writing() as session:
        session.get_one(Customer, alice).pause_until = (MONDAY + timedelta(days=3)).date()
    comes(store, sink, clock, MONDAY)
    assert sink.letters == []
    comes(store, sink, clock, MONDAY + timedelta(days=7))
    assert len(had(sink, ALICE.address)) == 1


def test_somebody_who_pauses_within_a_digests_hold_gets_it_with_the_next(
    store: Store, sink: MailServer, clock: Clock
) -> None:
    alice, _ = gather(store, ALICE, BOB, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    clock.moment = MONDAY
    worker = worker_to(sink, store, hold_minutes="10")
    worker.work_once()
    with store.writing() as session:
        session.get_one(Customer, alice).pause_until = (MONDAY + timedelta(days=1)).date()
    clock.advance(minutes=11)
    worker.work_once()
    assert (len(had(sink, ALICE.address)), len(had(sink, BOB.address))) == (0, 1)
    comes(store, sink, clock, MONDAY + timedelta(days=7))
    assert (len(had(sink, ALICE.address)), len(had(sink, BOB.address))) == (1, 1)


def test_somebody_erased_is_in_no_digest(store: Store, sink: MailServer, clock: Clock) -> None:
    alice, _ = gather(store, ALICE, BOB, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    with store.writing() as session:
        session.execute(delete(Customer).where(Customer.id == alice))
    comes(store, sink, clock, MONDAY)
    assert len(sink.letters) == 1
    with store.reading() as session:
        assert len(session.scalars(select(DigestItem)).all()) == 2


def test_what_was_cancelled_on_its_way_is_in_no_digest(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    gather(store, BOB)
    with store.writing() as session:
        services.hold(session, about("first"), minutes=0, now=clock.now())
        services.release_due(session, now=clock.now())
        [mailing] = session.scalars(select(Mailing))
        row = session.scalars(select(Delivery).order_by(Delivery.id)).first()
        assert row
        row.state = DeliveryState.SKIPPED
        digests.put_off(session, [row.id], now=clock.now())
        cancel(session, mailing.slug, now=clock.now())
    comes(store, sink, clock, MONDAY)
    assert sink.letters == []


def test_two_workers_make_one_digest(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, BOB, CAROL, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    clock.moment = MONDAY
    with store.writing() as session:
        assert digests.make_due(session, hold_minutes=0, now=clock.now()) == [WEEKLY]
    with store.writing() as session:
        assert digests.make_due(session, hold_minutes=0, now=clock.now()) == []
    worker_to(sink, store, 1).work_once()
    worker_to(sink, store, 2).work_once()
    assert len(sink.letters) == 3


def test_a_digests_slug_is_nobody_elses(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    comes(store, sink, clock, MONDAY)
    with pytest.raises(MailingRefused), store.writing() as session:
        services.hold(session, about(WEEKLY), minutes=0, now=clock.now())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.none()),
        st.tuples(st.just("choose"), st.sampled_from([Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY])),
        st.tuples(st.just("wait"), st.integers(1, 20)),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_however_often_somebody_changes_their_mind_nothing_comes_twice_and_nothing_is_lost(
    sqlite_store: Store, clock: Clock, sink: MailServer, steps: list[tuple[str, object]]
) -> None:
    clock.moment = OPPS_DAY
    sink.letters.clear()
    with sqlite_store.writing() as session:
        session.execute(delete(Customer))
        session.execute(delete(Delivery))
        session.execute(delete(Mailing))
    alice = welcome(sqlite_store, ALICE, now=OPPS_DAY, specials=Frequency.WEEKLY)
    mailings = 0
    for what, value in steps:
        clock.advance(hours=1)
        if what == "send":
            mailings += 1
            sent(sqlite_store, sink, clock, f"m{mailings}", f"This is number {mailings}.\n")
        elif isinstance(value, Frequency):
            now_chooses(sqlite_store, alice, value, clock)
        elif isinstance(value, int):
            comes(sqlite_store, sink, clock, clock.now() + timedelta(days=value))
    for _ in range(2):
        for frequency in (Frequency.WEEKLY, Frequency.MONTHLY):
            comes(sqlite_store, sink, clock, next_digest(frequency, clock.now()))
    said = "\n".join(text_of(letter.data) for letter in sink.letters)
    assert [said.count(f"This is number {number}.") for number in range(1, mailings + 1)] == [1] * mailings
