"""The mail worker: ends holds that are over, sends batches of every mailing, and sends single letters."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Select, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.comments.moderation_mail import find_waiting, queue_letters
from feedback_app.comments.notifications import has_due_letters, queue_due_letters
from feedback_app.config import Settings, Switch
from feedback_app.customers.link_requests import handle_typed_addresses, has_typed_addresses
from feedback_app.db.store import Store
from feedback_app.db.store_watch import StoreWatch
from feedback_app.heartbeats import BEAT, PATIENCE, WorkerKind, beat, new_worker_id, sign_off
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.delivery import ledger
from feedback_app.mailing.delivery.batches import BatchSender, SendCounts
from feedback_app.mailing.delivery.idle import rest, seconds_until_due
from feedback_app.mailing.delivery.send_rates import SendRates
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.kinds import make_single
from feedback_app.mailing.mailings import digests, services
from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.registry import open_transport
from feedback_app.mailing.transports.results import Outcome
from feedback_app.security.crypto import CannotOpen

IDLE_SECONDS = 0.25
# How often a busy worker looks for other work that is due.
LOOK_UP_INTERVAL = timedelta(seconds=IDLE_SECONDS)
# How often it looks for dead workers, which takes PATIENCE to be sure of anyway.
RESCUE_INTERVAL = timedelta(seconds=1)
# Seconds that a worker waits after the store has failed.
STORE_RETRY_SECONDS = 5
SINGLE_LETTER_TRIES = 8
# For this long a single letter belongs to the worker that sends it: longer than any server can take.
SINGLE_LETTER_LEASE = timedelta(minutes=10)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class MailWorker:
    """One mail worker; any number of them can work at the same time."""

    store: Store
    settings: Settings
    context: LetterContext
    transport: Transport
    id: str = field(default_factory=new_worker_id)
    _send_rates: SendRates = field(init=False)
    _batches: BatchSender = field(init=False)
    # The ids of the mailings that are being sent.
    _sending: list[int] = field(default_factory=list)
    _last_heartbeat: datetime | None = None
    _last_look_up: datetime | None = None
    _last_rescue: datetime | None = None
    _last_digests: datetime | None = None

    def __post_init__(self) -> None:
        """Begin with no letter in flight."""
        self._send_rates = SendRates(self.settings.send_rate, self.settings.domain_rate)
        self._batches = BatchSender(
            self.store, self.settings, self.context, self.id, self._send_rates, self.send_heartbeat
        )

    def work_once(self, stop: threading.Event | None = None) -> SendCounts:
        """Do what is due now: a batch of every mailing by turns, so that a long one does not hold up the others."""
        counts = SendCounts()
        self._look_up_due(counts)
        while self._send_batches(counts) and not (stop and stop.is_set()):
            if not _within(clock.now(), self._last_look_up, LOOK_UP_INTERVAL):
                self._look_up_due(counts)
        self._batches.record(self.transport, counts)
        if not counts.any():
            self.transport.rest()
        if self._sending:
            with self.store.writing() as session:
                services.finish(session, now=clock.now())
        return counts

    def work_through(self, stop: threading.Event, *, tell: Callable[[str], None]) -> SendCounts:
        """Do what is due now, and wait for letters that the send rates keep back or that another worker has in flight.

        A worker that has ended without a word is waited for until its letters are called unknown.
        """
        total = self.work_once(stop)
        since, has_told = clock.now(), False
        while not stop.is_set():
            with self.store.reading() as session:
                elsewhere = ledger.in_flight_elsewhere(session, self.id, since=since)
                kept_back = self._send_rates.is_limited and ledger.waits_for_send_rate(
                    session, now=clock.now() + PATIENCE
                )
            if not elsewhere and not kept_back:
                break
            if elsewhere and not has_told:
                tell(f"{elsewhere} letters are in flight at another worker: waiting to hear from it.")
                has_told = True
            stop.wait(IDLE_SECONDS)
            total.add(self.work_once(stop))
        self.send_last_letters(total)
        return total

    def send_last_letters(self, counts: SendCounts) -> None:
        """Send single letters before the worker ends: a mailing that was just halted must not wait to be reported."""
        self._send_due_singles(counts)

    def sign_off(self) -> None:
        """Record what is known and say that this worker has ended in good order."""
        self._batches.record(self.transport, SendCounts())
        with self.store.writing() as session:
            sign_off(session, self.id)

    def send_heartbeat(self, now: datetime) -> bool:
        """Say that this worker is alive, if it is time. Return whether the others can still believe it."""
        if _within(now, self._last_heartbeat, BEAT):
            return True
        is_believed = _within(now, self._last_heartbeat, PATIENCE) or self._last_heartbeat is None
        with self.store.writing() as session:
            beat(session, self.id, WorkerKind.MAILER, now=now)
            if self._last_heartbeat and now < self._last_heartbeat:
                self._correct_future_times(session, now)
        self._last_heartbeat = now
        return is_believed

    def _send_batches(self, counts: SendCounts) -> bool:
        """Send a batch of every mailing. Return whether there may be more to do."""
        more = [self._batches.send_next(self.transport, mailing_id, counts) for mailing_id in self._sending]
        return any(more) or self._batches.record(self.transport, counts)

    def _look_up_due(self, counts: SendCounts) -> None:
        """Wait for letters in flight, then look for dead workers, digests, holds that are over, and single letters."""
        self._batches.wait_for_answers(self.transport, counts)
        now = clock.now()
        is_first, self._last_look_up = self._last_look_up is None, now
        self.send_heartbeat(now)
        with self.store.writing() as session:
            if not _within(now, self._last_rescue, RESCUE_INTERVAL):
                ledger.mark_lost_letters_unknown(session, now=now)
                self._last_rescue = now
            if is_first:
                self._correct_future_times(session, now)
            self._make_digests(session, now)
            services.release_due(session, now=now)
        with self.store.reading() as session:
            sending = [mailing.id for mailing in services.sending(session)]
        if sending != self._sending:
            self._send_rates.forget_slots()
        self._sending = sending
        # Before any batch: a customer may be waiting for a link, while nobody waits for a mailing.
        self._send_due_singles(counts)

    def _correct_future_times(self, session: Session, now: datetime) -> None:
        """Bring times back to now that a clock wrote which ran ahead and was put back since."""
        ledger.correct_retry_times(session, now=now)
        in_the_future = update(LetterRequest).where(LetterRequest.asked_at > now, LetterRequest.sent_at.is_(None))
        session.execute(in_the_future.values(asked_at=now, next_try_at=now))

    def _make_digests(self, session: Session, now: datetime) -> None:
        if not _within(now, self._last_digests, digests.CHECK_INTERVAL):
            digests.make_due(session, hold_minutes=self.settings.hold_minutes, now=now)
            self._last_digests = now

    def _look_up_typed(self, session: Session) -> int:
        return handle_typed_addresses(session, now=clock.now(), quiet=self.settings.rate_limits is Switch.ON)

    def _send_due_singles(self, counts: SendCounts) -> None:
        """Ask for the single letters that are due by now, and send them."""
        with self.store.reading() as session:
            typed, answered = has_typed_addresses(session), has_due_letters(session, now=clock.now())
            is_wanted = session.scalar(_due_single(clock.now())) is not None
            # Without an owner's address the comments stay untold; once there is one, the owner is told of all of them.
            untold = self.settings.owner_email is not None and find_waiting(session, now=clock.now()) is not None
        while typed:
            # Again, if it had to give way: another process may look the same address up at this moment.
            typed = self.store.write(self._look_up_typed) > 0
            is_wanted = True
        if untold:
            with self.store.writing() as session:
                queue_letters(session, now=clock.now())
            is_wanted = True
        if answered:
            with self.store.writing() as session:
                queue_due_letters(session, now=clock.now())
            is_wanted = True
        # Mostly there is none, and no write transaction is needed to know it.
        if is_wanted:
            self._send_singles(counts)

    def _send_singles(self, counts: SendCounts) -> None:
        """Send the single letters that are due, each recorded before and after.

        A request is postponed before its letter leaves, so that no other worker takes it meanwhile and a crash does not
        lose it: a customer who waits for a link had better get two than none.
        """
        last_words = ""
        while self._send_rates.available(clock.now(), 1):
            with self.store.writing() as session:
                now = clock.now()
                request = session.scalar(_due_single(now).with_for_update(skip_locked=True))
                if request is None:
                    return
                request.attempts += 1
                request.next_try_at = now + SINGLE_LETTER_LEASE
                try:
                    letter = make_single(session, self.context, request, now=now)
                except (NotWanted, GateRefused, CannotOpen) as error:
                    request.gave_up = str(error)[:200]
                    continue
            self._send_rates.count(now)
            answer = self.transport.send(letter)
            if answer.outcome is not Outcome.ACCEPTED and answer.words != last_words:
                last_words = answer.words
                log.warning("A single letter was not accepted: %s", last_words)
            with self.store.writing() as session:
                kept = session.get(LetterRequest, request.id)
                if kept is not None and answer.outcome in {Outcome.ACCEPTED, Outcome.UNKNOWN}:
                    kept.sent_at = clock.now()
                elif kept is not None and (answer.outcome is Outcome.FAILED or kept.attempts >= SINGLE_LETTER_TRIES):
                    kept.gave_up = answer.words[:200]
                elif kept is not None:
                    kept.next_try_at = clock.now() + timedelta(minutes=2**kept.attempts)
            counts.singles += answer.outcome is Outcome.ACCEPTED


@contextmanager
def mail_worker(store: Store, settings: Settings, context: LetterContext) -> Iterator[MailWorker]:
    """Open a worker with its transport; the worker signs off at the end."""
    with open_transport(settings.smtp_url, settings.smtp_connections) as transport:
        worker = MailWorker(store, settings, context, transport)
        try:
            yield worker
        finally:
            worker.sign_off()


def run_until(
    worker: MailWorker,
    stop: threading.Event,
    *,
    tell: Callable[[SendCounts], None] = lambda _: None,
    hourly: Callable[[], None] = lambda: None,
) -> None:
    """Work until told to stop; the batch at hand is finished first. `hourly` does the program's other chores."""
    last_chores: datetime | None = None
    watch = StoreWatch(worker.store)
    while not stop.is_set():
        try:
            # Before the look: what this worker itself commits then is no reason for another one.
            worker.send_heartbeat(clock.now())
            watch.mark_seen()
            counts = worker.work_once(stop)
            if counts.any():
                tell(counts)
            with worker.store.reading() as session:
                seconds = seconds_until_due(session, worker.settings)
            if not _within(clock.now(), last_chores, timedelta(hours=1)):
                hourly()
                last_chores = clock.now()
        except OperationalError as error:
            # A full disk, or a database that restarts: what is known is kept, and recorded when the store works again.
            log.error("The store does not work: %s. Trying again.", str(error.orig).strip().split("\n")[0])  # noqa: TRY400 - the line says all
            stop.wait(STORE_RETRY_SECONDS)
            continue
        rest(watch, seconds, stop)
    watch.close()


def _due_single(now: datetime) -> Select[LetterRequest]:
    is_due = LetterRequest.sent_at.is_(None), LetterRequest.gave_up.is_(None), LetterRequest.next_try_at <= now
    return select(LetterRequest).where(*is_due).order_by(LetterRequest.id).limit(1)


def _within(now: datetime, last: datetime | None, span: timedelta) -> bool:
    """Return whether `last` is less than a span ago. A moment in the future is not: the clock was put back."""
    return last is not None and last <= now < last + span
