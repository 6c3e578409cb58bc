"""The life of a mailing: held, unsent, released, sent; each preference is asked again before its letter leaves."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import partial

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import choose
from feedback_app.customers.models import (
    ConsentChannel,
    Customer,
    Frequency,
    LetterFormat,
    Suppression,
    SuppressionReason,
)
from feedback_app.customers.services import Person, request_link
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.delivery import batches
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.mailings import audience, services
from feedback_app.mailing.mailings.services import MailingRefused
from feedback_app.mailing.models import Delivery, DeliveryState, MailingState
from tests.support.clock import Clock
from tests.support.mailings import CROWD, FREE_SOCKS, about, counts, gather, held, reasons, state, text_of, worker_to
from tests.support.people import ALICE, BOB, CAROL
from tests.support.smtp import MailServer, mail_server

RACES = 8


def at_once(*tasks: Callable[[], object]) -> list[object]:
    """Run tasks in threads that start together; return what each returned or raised."""
    together = threading.Barrier(len(tasks))
    results: dict[int, object] = {}

    def run(number: int, task: Callable[[], object]) -> None:
        together.wait()
        try:
            results[number] = task()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(len(tasks))]


def cancel(store: Store, clock: Clock, slug: str = FREE_SOCKS.slug) -> services.Cancelled:
    """Unsend a mailing. Raises MailingRefused."""
    with store.writing() as session:
        return services.cancel(session, slug, now=clock.now())


def release(store: Store, clock: Clock) -> list[str]:
    """End the holds that are over."""
    with store.writing() as session:
        return services.release_due(session, now=clock.now())


def resume(store: Store) -> None:
    """Continue the halted mailing. Raises MailingRefused."""
    with store.writing() as session:
        services.resume(session, FREE_SOCKS.slug)


def test_at_the_end_of_the_hold_every_customer_gets_one_letter(store: Store, sink: MailServer, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    held(store, clock=clock)
    worker = worker_to(sink, store)
    clock.advance(minutes=9, seconds=59)
    assert not worker.work_once().any()
    assert state(store) is MailingState.HELD
    assert sink.letters == []
    clock.advance(seconds=1)
    assert worker.work_once().accepted == len(everybody)
    assert sorted(sink.recipients()) == sorted([ALICE.address, BOB.address, CAROL.address])
    assert state(store) is MailingState.SENT
    assert counts(store) == {"accepted": 3}
    assert not worker.work_once().any()
    assert len(sink.letters) == 3


def test_a_mailing_that_is_cancelled_in_its_hold_reaches_nobody(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, ALICE, BOB, CAROL)
    held(store, clock=clock)
    clock.advance(minutes=9)
    done = cancel(store, clock)
    assert (done.accepted, done.in_doubt, done.stopped) == (0, 0, 0)
    clock.advance(days=3)
    worker_to(sink, store).work_once()
    assert sink.connections == 0
    assert state(store) is MailingState.CANCELLED
    assert counts(store) == {}


def test_letters_that_have_not_left_when_a_mailing_is_cancelled_stay(store: Store, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)

    def script(verb: str, _taken: int) -> str | None:
        if verb == "DOT":
            cancelled.extend(at_once(lambda: cancel(store, clock)) if not cancelled else [])
        return None

    cancelled: list[object] = []
    held(store, minutes=0, clock=clock)
    with mail_server(script) as server:
        worker_to(server, store, max_in_flight="1").work_once()
    [done] = cancelled
    assert isinstance(done, services.Cancelled)
    assert (done.accepted, done.in_doubt, done.stopped) == (0, 1, len(everybody) - 1)
    assert server.recipients() == [ALICE.address]
    assert counts(store) == {"accepted": 1, "skipped": 2}
    assert reasons(store)[1:] == ["cancelled", "cancelled"]
    assert state(store) is MailingState.CANCELLED


def test_a_cancel_and_a_release_at_the_same_moment_never_both_win(store: Store, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    for number in range(RACES):
        slug = f"race-{number}"
        held(store, about(slug), minutes=0, clock=clock)
        cancelled, released = at_once(partial(cancel, store, clock, slug), partial(release, store, clock))
        assert isinstance(cancelled, services.Cancelled)
        assert state(store, slug) is MailingState.CANCELLED
        if released == [slug]:
            # The release came first: the cancel found the audience frozen, and stopped all of it.
            assert cancelled.stopped == len(everybody)
            assert counts(store, slug) == {"skipped": len(everybody)}
        else:
            assert released == []
            assert counts(store, slug) == {}


def test_of_two_cancels_at_the_same_moment_one_wins(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB, CAROL)
    for number in range(RACES):
        slug = f"race-{number}"
        held(store, about(slug), clock=clock)
        results = at_once(*[partial(cancel, store, clock, slug)] * 2)
        assert sorted(type(result).__name__ for result in results) == ["Cancelled", "MailingRefused"]


def test_of_two_releases_at_the_same_moment_one_freezes_the_audience(store: Store, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    for number in range(RACES):
        slug = f"race-{number}"
        held(store, about(slug), minutes=0, clock=clock)
        results = at_once(*[lambda: release(store, clock)] * 2)
        assert sorted(results, key=str) == sorted([[], [slug]], key=str)
        assert counts(store, slug) == {"queued": len(everybody)}


def test_of_two_owners_who_send_the_same_mailing_at_once_one_wins(store: Store, clock: Clock) -> None:
    for number in range(RACES):
        source = about(f"race-{number}")
        results = at_once(*[lambda source=source: held(store, source, clock=clock)] * 2)
        assert sorted(type(result).__name__ for result in results) == ["Mailing", "MailingRefused"]


def test_a_cancelled_mailing_can_be_changed_and_sent_again(store: Store, sink: MailServer, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    held(store, clock=clock)
    cancel(store, clock)
    held(store, replace(FREE_SOCKS, body="Hello again {{ name }}.\n"), clock=clock)
    clock.advance(minutes=10)
    worker_to(sink, store).work_once()
    assert len(sink.letters) == len(everybody)
    assert all("Hello again" in text_of(letter.data) for letter in sink.letters)
    assert counts(store) == {"accepted": 3}


def test_a_mailing_cancelled_before_any_letter_left_can_be_sent_again(
    store: Store, sink: MailServer, clock: Clock
) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    held(store, minutes=0, clock=clock)
    release(store, clock)
    assert cancel(store, clock).stopped == len(everybody)
    held(store, replace(FREE_SOCKS, body="Hello again.\n"), minutes=0, clock=clock)
    assert state(store) is MailingState.HELD
    worker_to(sink, store).work_once()
    assert len(sink.letters) == len(everybody)
    assert state(store) is MailingState.SENT


def test_a_mailing_of_which_a_letter_left_cannot_be_sent_again(store: Store, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)

    def script(verb: str, taken: int) -> str | None:
        return "450 later" if verb == "RCPT" and taken else None

    held(store, minutes=0, clock=clock)
    with mail_server(script) as server:
        worker_to(server, store, max_in_flight="1").work_once()
    assert counts(store) == {"accepted": 1, "deferred": len(everybody) - 1}
    done = cancel(store, clock)
    assert (done.accepted, done.in_doubt, done.stopped) == (1, 0, 2)
    with pytest.raises(MailingRefused, match="after some of it had left"):
        held(store, clock=clock)
    assert counts(store) == {"accepted": 1, "skipped": 2}


@pytest.mark.parametrize("when", [MailingState.HELD, MailingState.SENDING, MailingState.SENT, MailingState.HALTED])
def test_a_mailing_that_is_being_sent_or_over_cannot_be_sent_again(
    when: MailingState, store: Store, clock: Clock
) -> None:
    gather(store, ALICE, BOB, CAROL)
    mailing = held(store, clock=clock)
    with store.writing() as session:
        session.merge(mailing).state = when
    with pytest.raises(MailingRefused, match=f"free-socks is {when} already"):
        held(store, clock=clock)


def test_a_mailing_that_was_sent_cannot_be_cancelled(store: Store, sink: MailServer, clock: Clock) -> None:
    held(store, minutes=0, clock=clock)
    worker_to(sink, store).work_once()
    assert state(store) is MailingState.SENT
    with pytest.raises(MailingRefused, match="free-socks is sent already"):
        cancel(store, clock)
    with pytest.raises(MailingRefused, match="there is no mailing 'never-sent'"):
        cancel(store, clock, "never-sent")


def unsubscribed(store: Store, number: int, clock: Clock) -> None:
    """Let the customer choose `never`."""
    with store.writing() as session:
        customer, topic = session.get_one(Customer, number), Topic.SPECIALS
        never, through = Frequency.NEVER, ConsentChannel.UNSUBSCRIBE_PAGE
        choose(session, customer, topic, never, channel=through, wording=topic.info.wording, now=clock.now())


def paused(store: Store, number: int, clock: Clock) -> None:
    """Let the customer pause until tomorrow."""
    with store.writing() as session:
        session.get_one(Customer, number).pause_until = clock.now().date() + timedelta(days=1)


def suppressed(store: Store, number: int, clock: Clock) -> None:
    """Suppress the customer's address, which bounced."""
    with store.writing() as session:
        fingerprint = session.get_one(Customer, number).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=SuppressionReason.BOUNCED, at=clock.now()))


def erased(store: Store, number: int, _clock: Clock) -> None:
    """Erase the customer."""
    with store.writing() as session:
        session.execute(delete(Customer).where(Customer.id == number))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unsubscribed, "the customer does not want specials"),
        (paused, "the customer has paused all letters"),
        (suppressed, "the address is suppressed"),
        (erased, "the customer was erased"),
    ],
)
def test_a_customer_is_skipped_who_between_freezing_and_sending(
    change: Callable[[Store, int, Clock], None],
    reason: str,
    store: Store,
    sink: MailServer,
    clock: Clock,
) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    held(store, minutes=0, clock=clock)
    release(store, clock)
    assert counts(store) == {"queued": 3}
    change(store, everybody[1], clock)
    worker_to(sink, store).work_once()
    assert sink.recipients() == [ALICE.address, CAROL.address]
    assert counts(store) == {"accepted": 2, "skipped": 1}
    assert reasons(store)[1] == reason
    assert state(store) is MailingState.SENT


@pytest.mark.parametrize("change", [unsubscribed, paused, suppressed, erased])
def test_a_customer_is_not_in_the_audience_who_during_the_hold(
    change: Callable[[Store, int, Clock], None],
    store: Store,
    sink: MailServer,
    clock: Clock,
) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    held(store, clock=clock)
    change(store, everybody[0], clock)
    clock.advance(minutes=10)
    worker_to(sink, store).work_once()
    assert sink.recipients() == [BOB.address, CAROL.address]
    assert counts(store) == {"accepted": 2}


def test_a_customer_who_says_no_while_the_letter_is_deferred_gets_none(store: Store, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    with mail_server(lambda verb, _taken: "450 later" if verb == "RCPT" else None) as server:
        held(store, minutes=0, clock=clock)
        worker = worker_to(server, store)
        worker.work_once()
        assert counts(store) == {"deferred": 3}
        for number in everybody:
            unsubscribed(store, number, clock)
        server.script = lambda _verb, _taken: None
        clock.advance(hours=1)
        worker.work_once()
    assert server.letters == []
    assert counts(store) == {"skipped": 3}


def test_a_pause_ends_on_the_morning_of_its_date(store: Store, sink: MailServer, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    with store.writing() as session:
        session.get_one(Customer, everybody[0]).pause_until = date(2007, 10, 11)
    held(store, minutes=0, clock=clock)
    worker_to(sink, store).work_once()
    assert ALICE.address not in sink.recipients()
    clock.advance(hours=12)
    held(store, about("next-day"), minutes=0, clock=clock)
    worker_to(sink, store).work_once()
    assert ALICE.address in sink.recipients()


def test_a_customer_who_never_chose_gets_nothing(store: Store, sink: MailServer, clock: Clock) -> None:
    with store.writing() as session:
        request_link(session, Address.parse(ALICE.address), now=clock.now(), quiet=False)
    gather(store, BOB)
    with store.writing() as session:
        request_link(session, Address.parse(BOB.address), now=clock.now(), quiet=False)
    held(store, minutes=0, clock=clock)
    worker_to(sink, store).work_once()
    # Both got the link they had asked for; only Bob got the mailing.
    assert sorted(sink.recipients()) == [ALICE.address, BOB.address, BOB.address]
    assert counts(store) == {"accepted": 1}


def test_no_customer_gets_more_letters_a_day_than_the_daily_cap(store: Store, sink: MailServer, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    worker = worker_to(sink, store, daily_cap="2")
    for slug in ("one", "two", "three"):
        held(store, about(slug), minutes=0, clock=clock)
        worker.work_once()
        clock.advance(hours=1)
    assert counts(store, "three") == {"skipped": len(everybody)}
    assert reasons(store, "three") == ["the customer has had today's letters"] * 3
    clock.advance(hours=23)
    held(store, about("four"), minutes=0, clock=clock)
    worker.work_once()
    assert counts(store, "four") == {"accepted": 3}


def stopped_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spoil the letter to this address, so that the gate refuses it."""
    make = MailingLetters.letter

    def letter(maker: MailingLetters, person: Person, form: LetterFormat, **more: object) -> Letter:
        if person.address == address:
            message = "a letter was stopped at the gate: it has more than one to"
            raise GateRefused(message)
        return make(maker, person, form, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(MailingLetters, "letter", letter)


def test_a_letter_that_the_gate_refuses_halts_the_mailing_and_none_leaves(
    store: Store,
    sink: MailServer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    held(store, minutes=0, clock=clock)
    worker = worker_to(sink, store)
    with monkeypatch.context() as broken:
        stopped_at(CAROL.address, broken)
        worker.work_once()
        worker.work_once()
    assert sink.connections == 0
    assert state(store) is MailingState.HALTED
    assert counts(store) == {"queued": len(everybody)}
    with store.reading() as session:
        assert services.find_mailing(session, FREE_SOCKS.slug).reason == (
            "a letter was stopped at the gate: it has more than one to"
        )
    assert caplog.text.count("A mailing was halted") == 1
    assert "@" not in caplog.text
    resume(store)
    worker.work_once()
    assert len(sink.letters) == len(everybody)
    assert state(store) is MailingState.SENT


def test_a_halted_mailing_does_not_stop_others(
    store: Store, sink: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    worker = worker_to(sink, store)
    with monkeypatch.context() as broken:
        stopped_at(ALICE.address, broken)
        worker.work_once()
    held(store, about("next"), minutes=0, clock=clock)
    worker.work_once()
    assert state(store) is MailingState.HALTED
    assert state(store, "next") is MailingState.SENT
    cancel(store, clock)
    assert state(store) is MailingState.CANCELLED


def test_only_a_halted_mailing_can_be_resumed(store: Store, clock: Clock) -> None:
    held(store, clock=clock)
    with pytest.raises(MailingRefused, match="free-socks is held, not halted"):
        resume(store)


def test_a_mailing_to_nobody_is_sent_at_once(store: Store, sink: MailServer, clock: Clock) -> None:
    held(store, minutes=0, clock=clock)
    worker_to(sink, store).work_once()
    assert state(store) is MailingState.SENT
    assert counts(store) == {}
    assert sink.connections == 0


def test_excluded_customers_are_counted_by_reason(store: Store, clock: Clock) -> None:
    everybody = gather(store, ALICE, BOB, CAROL)
    gather(store, *CROWD[:2])
    unsubscribed(store, everybody[0], clock)
    paused(store, everybody[1], clock)
    suppressed(store, everybody[2], clock)
    with store.reading() as session:
        assert audience.audience_count(session, Topic.SPECIALS, now=clock.now()) == 2
        left = audience.excluded(session, Topic.SPECIALS, now=clock.now())
    assert (left.no, left.paused, left.suppressed, left.in_digests) == (1, 1, 1, 0)


def test_digest_readers_are_counted_apart_and_not_in_the_canary(store: Store, clock: Clock) -> None:
    gather(store, *CROWD[:4], frequency=Frequency.WEEKLY)
    [_, paused_one] = gather(store, *CROWD[4:6], frequency=Frequency.MONTHLY)
    paused(store, paused_one, clock)
    gather(store, *CROWD[6:])
    with store.reading() as session:
        assert audience.audience_count(session, Topic.SPECIALS, now=clock.now()) == 6
        left = audience.excluded(session, Topic.SPECIALS, now=clock.now())
    assert (left.no, left.paused, left.suppressed, left.in_digests) == (0, 1, 0, 5)
    for slug, first in (("one", 5), ("two", 0)):
        held(store, about(slug), minutes=0, clock=clock)
        with store.writing() as session:
            services.release_due(session, now=clock.now())
            # Of six letters five go first; of five none is kept back.
            assert services.find_mailing(session, slug).canary == first
        gather(store, CROWD[6], frequency=Frequency.WEEKLY)


@pytest.mark.parametrize("in_flight", ["2", "50"])
def test_a_long_mailing_does_not_delay_a_link(
    in_flight: str, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every batch takes too long.
    monkeypatch.setattr(batches, "BATCH_SECONDS", 0.0)
    gather(store, *CROWD)

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == 0:
            with store.writing() as session:
                request_link(session, Address.parse(BOB.address), now=clock.now(), quiet=False)
            clock.advance(seconds=1)
        return None

    held(store, minutes=0, clock=clock)
    with mail_server(script) as server:
        done = worker_to(server, store, max_in_flight=in_flight).work_once()
    assert (done.accepted, done.singles) == (len(CROWD), 1)
    assert server.recipients().index(BOB.address) <= 3
    with store.reading() as session:
        assert [row.attempts for row in session.scalars(select(Delivery))] == [1] * len(CROWD)


def stopped_after_one(
    stop: Callable[[Session], object], store: Store, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, int], str | None]:
    """Return the script of a server that stops the mailing in the middle of a batch, when it takes the first letter."""
    monkeypatch.setattr(batches, "STOP_CHECK_SECONDS", 0.0)

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == 0:
            with store.writing() as session:
                stop(session)
        return None

    return script


def test_a_cancel_stops_the_rest_of_a_batch_too(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)
    cancelled: list[services.Cancelled] = []

    def stop(session: Session) -> None:
        cancelled.append(services.cancel(session, mailing.slug, now=clock.now()))

    with mail_server(stopped_after_one(stop, store, monkeypatch)) as server:
        worker_to(server, store).work_once()
    # The letter that was being taken, the one that was announced with it, and one that was already submitted.
    left = len(server.letters)
    assert left <= 3
    assert counts(store) == {"accepted": left, "skipped": len(CROWD) - left}
    assert cancelled[0].accepted + cancelled[0].in_doubt >= left


def test_a_halt_stops_the_batches_of_all_workers_until_a_resume(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)

    def halt(session: Session) -> None:
        services.halt(session, mailing.id, "another worker's letter was stopped", now=clock.now())

    with mail_server(stopped_after_one(halt, store, monkeypatch)) as server:
        worker = worker_to(server, store)
        worker.work_once()
        left = len(server.letters)
        assert left <= 3
        assert counts(store) == {"accepted": left, "queued": len(CROWD) - left}
        with store.writing() as session:
            services.resume(session, mailing.slug)
        worker.work_once()
    assert sorted(server.recipients()) == sorted(person.address for person in CROWD)


def test_two_mailings_at_once_take_turns(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, *CROWD[:4])
    for slug in ("one", "two"):
        held(store, about(slug, f"This is {slug}."), minutes=0, clock=clock)
    worker_to(sink, store, max_in_flight="2").work_once()
    order = ["one" if "This is one." in text_of(letter.data) else "two" for letter in sink.letters]
    assert order == ["one", "one", "two", "two"] * 2


def test_a_stopped_worker_ends_after_the_batch_at_hand(store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    stop = threading.Event()

    def script(_verb: str, taken: int) -> str | None:
        if taken:
            stop.set()
        return None

    held(store, minutes=0, clock=clock)
    with mail_server(script) as server:
        worker_to(server, store, max_in_flight="2").work_once(stop)
    assert len(server.letters) == 2
    assert counts(store) == {"queued": len(CROWD) - 2, "accepted": 2}


def test_every_state_of_a_delivery_is_in_the_counts(store: Store, clock: Clock) -> None:
    mailing = held(store, clock=clock)
    with store.reading() as session:
        assert services.counts(session, mailing) == dict.fromkeys(DeliveryState, 0)
