"""Digests: one letter a week or a month with the texts put off for it; none comes twice, and none is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, select

from feedback_app.customers.consent import choose
from feedback_app.customers.models import ConsentChannel, Customer, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.mailings import digests, services
from feedback_app.mailing.mailings.services import MailingRefused, cancel
from feedback_app.mailing.models import Delivery, DeliveryState, DigestItem, Mailing
from tests.support.clock import OPPS_DAY, Clock
from tests.support.mailings import about, counts, gather, held, html_of, read, reasons, text_of, worker_to
from tests.support.people import ALICE, BOB, CAROL, welcome
from tests.support.smtp import MailServer

MONDAY = datetime(2007, 10, 15, 8, tzinfo=UTC)
FIRST = datetime(2007, 11, 1, 8, tzinfo=UTC)
WEEKLY = "specials-weekly-2007-10-15"


def now_chooses(store: Store, person: int, frequency: Frequency, clock: Clock) -> None:
    """Let a customer choose another frequency."""
    with store.writing() as session:
        customer = session.get_one(Customer, person, with_for_update=True)
        wording = Topic.SPECIALS.info.wording
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
    """Send a mailing now."""
    held(store, about(slug, body), minutes=0, clock=clock)
    worker_to(sink, store, hold_minutes="0").work_once()


def comes(store: Store, sink: MailServer, clock: Clock, moment: datetime) -> None:
    """Move the clock to a moment and let a worker work."""
    clock.moment = moment
    worker_to(sink, store, hold_minutes="0").work_once()


def had(sink: MailServer, address: str) -> list[bytes]:
    """Return the letters to an address."""
    return [letter.data for letter in sink.letters if letter.recipients == (address,)]


def test_a_weekly_reader_gets_the_weeks_letters_in_one_on_monday(store: Store, sink: MailServer, clock: Clock) -> None:
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
    paragraphs = [f"Free socks\n----------\n\nHello {ALICE.name}, the {which}.\n\n" for which in ("first", "second")]
    assert text.replace("\r\n", "\n").startswith("".join(paragraphs))
    assert "<em>first</em>" in html_of(letter)
    assert "List-Unsubscribe" in read(letter)
    assert counts(store, WEEKLY) == {"accepted": 1}
    for later in (timedelta(minutes=5), timedelta(days=7), timedelta(days=30)):
        comes(store, sink, clock, MONDAY + later)
    assert len(had(sink, ALICE.address)) == 1
    assert len(had(sink, BOB.address)) == 2


def test_a_monthly_reader_gets_a_digest_on_the_first(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.MONTHLY)
    sent(store, sink, clock, "first")
    comes(store, sink, clock, MONDAY)
    assert sink.letters == []
    comes(store, sink, clock, FIRST)
    assert len(had(sink, ALICE.address)) == 1
    assert counts(store, "specials-monthly-2007-11-01") == {"accepted": 1}


def test_a_digest_has_for_each_customer_what_was_put_off_for_them(store: Store, sink: MailServer, clock: Clock) -> None:
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


def test_a_no_before_monday_drops_the_digest_and_a_new_yes_keeps_it_dropped(
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


def test_a_customer_who_paused_gets_the_digest_after_the_pause(store: Store, sink: MailServer, clock: Clock) -> None:
    [alice] = gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    with store.writing() as session:
        session.get_one(Customer, alice).pause_until = (MONDAY + timedelta(days=3)).date()
    comes(store, sink, clock, MONDAY)
    assert sink.letters == []
    comes(store, sink, clock, MONDAY + timedelta(days=7))
    assert len(had(sink, ALICE.address)) == 1


def test_a_customer_who_pauses_in_a_digests_hold_gets_it_with_the_next(
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


def test_an_erased_customer_is_in_no_digest(store: Store, sink: MailServer, clock: Clock) -> None:
    alice, _ = gather(store, ALICE, BOB, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    with store.writing() as session:
        session.execute(delete(Customer).where(Customer.id == alice))
    comes(store, sink, clock, MONDAY)
    assert len(sink.letters) == 1
    with store.reading() as session:
        assert len(session.scalars(select(DigestItem)).all()) == 2


def test_a_mailing_that_was_cancelled_is_in_no_digest(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    gather(store, BOB)
    with store.writing() as session:
        services.hold(session, about("first"), minutes=0, now=clock.now())
        services.release_due(session, now=clock.now())
        [mailing] = session.scalars(select(Mailing))
        row = session.scalars(select(Delivery).order_by(Delivery.id)).first()
        assert row
        row.state = DeliveryState.SKIPPED
        digests.collect(session, [row.id], now=clock.now())
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


def test_a_digest_does_not_take_the_slug_of_a_mailing(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first")
    comes(store, sink, clock, MONDAY)
    with pytest.raises(MailingRefused), store.writing() as session:
        services.hold(session, about(WEEKLY), minutes=0, now=clock.now())


def test_a_digest_above_the_daily_cap_comes_the_next_day(store: Store, sink: MailServer, clock: Clock) -> None:
    [alice] = gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first", "The first.\n")
    clock.moment = MONDAY - timedelta(hours=1)
    now_chooses(store, alice, Frequency.EACH, clock)
    held(store, about("today", "Of today.\n"), minutes=0, clock=clock)
    for hours in range(0, 48, 6):
        clock.moment = MONDAY - timedelta(hours=1) + timedelta(hours=hours)
        worker_to(sink, store, hold_minutes="0", daily_cap="1").work_once()
    today, digest = had(sink, ALICE.address)
    assert "Of today." in text_of(today)
    assert "The first." in text_of(digest)
    assert counts(store, WEEKLY) == {"accepted": 1}


def test_a_customer_who_pauses_after_freezing_gets_it_with_the_next(
    store: Store, sink: MailServer, clock: Clock
) -> None:
    [alice] = gather(store, ALICE, frequency=Frequency.WEEKLY)
    sent(store, sink, clock, "first", "The first.\n")
    clock.moment = MONDAY
    with store.writing() as session:
        digests.make_due(session, hold_minutes=0, now=clock.now())
        services.release_due(session, now=clock.now())
        session.get_one(Customer, alice).pause_until = (MONDAY + timedelta(days=2)).date()
    worker_to(sink, store).work_once()
    assert had(sink, ALICE.address) == []
    comes(store, sink, clock, MONDAY + timedelta(days=7))
    assert "The first." in text_of(had(sink, ALICE.address)[-1])


class LettersOfAYear(RuleBasedStateMachine):
    """A customer changes frequency, pauses and gets many letters; each letter that was put off comes exactly once."""

    store: Store
    sink: MailServer
    clock: Clock

    @initialize()
    def arrive(self) -> None:
        self.clock.moment = OPPS_DAY
        self.sink.letters.clear()
        with self.store.writing() as session:
            for table in (DigestItem, Delivery, Mailing, Customer):
                session.execute(delete(table))
        self.alice = welcome(self.store, ALICE, now=OPPS_DAY, specials=Frequency.WEEKLY)
        self.mailings = 0

    def work(self) -> None:
        """Let a worker do what is due, at most one letter a day."""
        worker = worker_to(self.sink, self.store, hold_minutes="0", daily_cap="1")
        worker.work_once()
        worker.transport.close()

    @rule()
    def send(self) -> None:
        self.mailings += 1
        self.clock.advance(hours=1)
        held(self.store, about(f"m{self.mailings}", f"This is number {self.mailings}.\n"), minutes=0, clock=self.clock)
        self.work()

    @rule(frequency=st.sampled_from([Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY]))
    def choose(self, frequency: Frequency) -> None:
        self.clock.advance(minutes=1)
        now_chooses(self.store, self.alice, frequency, self.clock)

    @rule(days=st.integers(1, 10))
    def pause(self, days: int) -> None:
        with self.store.writing() as session:
            session.get_one(Customer, self.alice).pause_until = self.clock.now().date() + timedelta(days=days)

    @rule(hours=st.sampled_from([1, 7, 24, 24 * 7, 24 * 20]))
    def wait(self, hours: int) -> None:
        self.clock.advance(hours=hours)
        self.work()

    def times_received(self) -> list[int]:
        """Return how often each mailing came, by itself or in a digest."""
        text = "\n".join(text_of(letter.data) for letter in self.sink.letters)
        return [text.count(f"This is number {number}.") for number in range(1, self.mailings + 1)]

    @invariant()
    def nothing_comes_twice(self) -> None:
        assert all(times <= 1 for times in self.times_received())

    def teardown(self) -> None:
        if not getattr(self, "mailings", 0):
            return
        # Long enough for every pause to end and every digest to be retried.
        for days in (11, 7, 1, 31, 1, 31):
            self.clock.advance(days=days)
            for hours in (0, 7, 18):
                self.clock.advance(hours=hours)
                self.work()
        with self.store.reading() as session:
            put_off = select(Mailing.slug).join(Delivery, Delivery.mailing_id == Mailing.id).join(DigestItem)
            waited = {int(slug.removeprefix("m")) for slug in session.scalars(put_off)}
        times = self.times_received()
        assert [times[number - 1] for number in sorted(waited)] == [1] * len(waited)


def test_however_often_the_frequency_changes_nothing_is_lost_or_comes_twice(
    sqlite_store: Store, clock: Clock, sink: MailServer
) -> None:
    LettersOfAYear.store, LettersOfAYear.sink, LettersOfAYear.clock = sqlite_store, sink, clock
    run_state_machine_as_test(
        LettersOfAYear,
        settings=settings(max_examples=6, stateful_step_count=10, deadline=None),
    )
