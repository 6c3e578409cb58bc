"""The worker that sends: release what is due, claim, make, send, write down; and single letters."""

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
from feedback_app.comments.moderation_mail import find_untold, want_letters
from feedback_app.comments.notifications import has_due_letters, want_due_letters
from feedback_app.config import Settings, Switch
from feedback_app.customers.link_requests import has_typed, look_up_typed
from feedback_app.db.store import Store
from feedback_app.db.store_watch import StoreWatch
from feedback_app.heartbeats import BEAT, PATIENCE, WorkerKind, beat, new_worker_id, sign_off
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.delivery import ledger
from feedback_app.mailing.delivery.batches import BatchSender, Done
from feedback_app.mailing.delivery.idle import rest, seconds_until_due
from feedback_app.mailing.delivery.send_rates import SendRates
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.letters.composer import LetterContext
from feedback_app.mailing.letters.kinds import make_single
from feedback_app.mailing.mailings import digests, services
from feedback_app.mailing.transports.base import Transport, opened
from feedback_app.mailing.transports.results import Outcome
from feedback_app.security.crypto import CannotOpen

IDLE_SECONDS = 0.25
# How often a worker that is busy looks for what else is due.
LOOK_UP = timedelta(seconds=IDLE_SECONDS)
# How often it asks whether a worker is gone, which takes half a minute to be sure of.
RESCUE = timedelta(seconds=1)
# How long a worker leaves a store alone that does not work.
STORE_PAUSE = 5
SINGLE_TRIES = 8
# A single letter belongs to the worker that sends it for so long: longer than a server can take.
SINGLE_LEASE = timedelta(minutes=10)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class MailWorker:
    """One worker; any number of them can work at once."""

    store: Store
    settings: Settings
    desk: LetterContext
    transport: Transport
    id: str = field(default_factory=new_worker_id)
    _pace: SendRates = field(init=False)
    _windows: BatchSender = field(init=False)
    _sending: list[int] = field(default_factory=list)
    _last_beat: datetime | None = None
    _last_look: datetime | None = None
    _last_rescue: datetime | None = None
    _last_digests: datetime | None = None

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self._pace = SendRates(self.settings.send_rate, self.settings.domain_rate)
        self._windows = BatchSender(self.store, self.settings, self.desk, self.id, self._pace, self.send_heartbeat)

    def work_once(self, stop: threading.Event | None = None) -> Done:
        """Do what is due now: a window of every mailing in turn, so that no long one keeps another waiting."""
        done = Done()
        self._look_up(done)
        while self._round(done) and not (stop and stop.is_set()):
            if not _within(clock.now(), self._last_look, LOOK_UP):
                self._look_up(done)
        self._windows.write_down(self.transport, done)
        if not done.any():
            self.transport.rest()
        if self._sending:
            with self.store.writing() as session:
                services.finish(session, now=clock.now())
        return done

    def work_through(self, stop: threading.Event, *, tell: Callable[[str], None]) -> Done:
        """Do what is due now, also what has to wait: for its turn, or to hear of a worker that may be gone."""
        total = self.work_once(stop)
        since, told = clock.now(), False
        while not stop.is_set():
            with self.store.reading() as session:
                elsewhere = ledger.in_flight_elsewhere(session, self.id, since=since)
                waiting = self._pace.limited and ledger.in_turn(session, now=clock.now() + PATIENCE)
            if not elsewhere and not waiting:
                break
            if elsewhere and not told:
                tell(f"{elsewhere} letters are in flight at another worker: waiting to hear from it.")
                told = True
            stop.wait(IDLE_SECONDS)
            total.add(self.work_once(stop))
        self.last_look(total)
        return total

    def last_look(self, done: Done) -> None:
        """Tell somebody of what was stopped just now: nobody knows when there is a next time."""
        self._singles(done)

    def _round(self, done: Done) -> bool:
        """Returns whether there may be more to do."""
        more = [self._windows.turn(self.transport, mailing_id, done) for mailing_id in self._sending]
        return any(more) or self._windows.write_down(self.transport, done)

    def _look_up(self, done: Done) -> None:
        """Look for what is due besides the mailings at hand, when all that is on its way was heard of."""
        self._windows.wait(self.transport, done)
        now = clock.now()
        first, self._last_look = self._last_look is None, now
        self.send_heartbeat(now)
        with self.store.writing() as session:
            if not _within(now, self._last_rescue, RESCUE):
                ledger.rescue(session, now=now)
                self._last_rescue = now
            if first:
                self._mend_times(session, now)
            self._make_digests(session, now)
            services.release_due(session, now=now)
        with self.store.reading() as session:
            sending = [mailing.id for mailing in services.sending(session)]
        if sending != self._sending:
            self._pace.forget_turns()
        self._sending = sending
        # Somebody waits for a link, nobody for a mailing.
        self._singles(done)

    def sign_off(self) -> None:
        """End in good order."""
        self._windows.write_down(self.transport, Done())
        with self.store.writing() as session:
            sign_off(session, self.id)

    def send_heartbeat(self, now: datetime) -> bool:
        """Say that this worker is alive. Returns whether the others can still believe it."""
        if _within(now, self._last_beat, BEAT):
            return True
        believed = _within(now, self._last_beat, PATIENCE) or self._last_beat is None
        with self.store.writing() as session:
            beat(session, self.id, WorkerKind.MAILER, now=now)
            if self._last_beat and now < self._last_beat:
                self._mend_times(session, now)
        self._last_beat = now
        return believed

    def _mend_times(self, session: Session, now: datetime) -> None:
        """Let nobody wait for a day that a clock showed before it was put back."""
        ledger.mend_times(session, now=now)
        asked_later = update(LetterRequest).where(LetterRequest.asked_at > now, LetterRequest.sent_at.is_(None))
        session.execute(asked_later.values(asked_at=now, next_try_at=now))

    def _make_digests(self, session: Session, now: datetime) -> None:
        if not _within(now, self._last_digests, digests.EVERY):
            digests.make_due(session, hold_minutes=self.settings.hold_minutes, now=now)
            self._last_digests = now

    def _look_up_typed(self, session: Session) -> int:
        return look_up_typed(session, now=clock.now(), quiet=self.settings.rate_limits is Switch.ON)

    def _singles(self, done: Done) -> None:
        """See which single letters are wanted by now, and send them."""
        with self.store.reading() as session:
            typed, answered = has_typed(session), has_due_letters(session, now=clock.now())
            wanted = session.scalar(_due_single(clock.now())) is not None
            # Where no owner is set there is nobody to tell; once there is one, they are told of all that waits.
            waits = self.settings.owner_email is not None and find_untold(session, now=clock.now()) is not None
        while typed:
            # Again when it had to give way: the same address may be typed and looked up elsewhere at this moment.
            typed = self.store.write(self._look_up_typed) > 0
            wanted = True
        if waits:
            with self.store.writing() as session:
                want_letters(session, now=clock.now())
            wanted = True
        if answered:
            with self.store.writing() as session:
                want_due_letters(session, now=clock.now())
            wanted = True
        # Mostly there is none, and nobody has to wait until that is known.
        if wanted:
            self._send_singles(done)

    def _send_singles(self, done: Done) -> None:
        """Send them, each written down before and after.

        A request is put off for a while before its letter leaves, so that no other worker takes it meanwhile and a
        crash does not lose it: somebody who waits for a link is better served twice than never.
        """
        said = ""
        while self._pace.free(clock.now(), 1):
            with self.store.writing() as session:
                now = clock.now()
                request = session.scalar(_due_single(now).with_for_update(skip_locked=True))
                if request is None:
                    return
                request.attempts += 1
                request.next_try_at = now + SINGLE_LEASE
                try:
                    letter = make_single(session, self.desk, request, now=now)
                except (NotWanted, GateRefused, CannotOpen) as error:
                    request.gave_up = str(error)[:200]
                    continue
            self._pace.take(now)
            answer = self.transport.send(letter)
            if answer.outcome is not Outcome.ACCEPTED and answer.words != said:
                said = answer.words
                log.warning("A single letter was not accepted: %s", said)
            with self.store.writing() as session:
                kept = session.get(LetterRequest, request.id)
                if kept is not None and answer.outcome in {Outcome.ACCEPTED, Outcome.UNKNOWN}:
                    kept.sent_at = clock.now()
                elif kept is not None and (answer.outcome is Outcome.FAILED or kept.attempts >= SINGLE_TRIES):
                    kept.gave_up = answer.words[:200]
                elif kept is not None:
                    kept.next_try_at = clock.now() + timedelta(minutes=2**kept.attempts)
            done.singles += answer.outcome is Outcome.ACCEPTED


@contextmanager
def mail_worker(store: Store, settings: Settings, desk: LetterContext) -> Iterator[MailWorker]:
    """A worker with its transport; it signs off at the end."""
    with opened(settings.smtp_url, settings.smtp_connections) as transport:
        worker = MailWorker(store, settings, desk, transport)
        try:
            yield worker
        finally:
            worker.sign_off()


def run_until(
    worker: MailWorker,
    stop: threading.Event,
    *,
    tell: Callable[[Done], None] = lambda _: None,
    hourly: Callable[[], None] = lambda: None,
) -> None:
    """Work until told to stop; the window at hand is finished first. `hourly` is for the house's other chores."""
    last_chores: datetime | None = None
    watch = StoreWatch(worker.store)
    while not stop.is_set():
        try:
            # Before the look: what this worker itself commits then is no reason for another one.
            worker.send_heartbeat(clock.now())
            watch.mark_seen()
            done = worker.work_once(stop)
            if done.any():
                tell(done)
            with worker.store.reading() as session:
                seconds = seconds_until_due(session, worker.settings)
            if not _within(clock.now(), last_chores, timedelta(hours=1)):
                hourly()
                last_chores = clock.now()
        except OperationalError as error:
            # A full disk, a database that restarts: what is known is kept and written down when that is over.
            log.error("The store does not work: %s. Trying again.", str(error.orig).strip().split("\n")[0])  # noqa: TRY400 - the line says all
            stop.wait(STORE_PAUSE)
            continue
        rest(watch, seconds, stop)
    watch.close()


def _due_single(now: datetime) -> Select[LetterRequest]:
    waits = LetterRequest.sent_at.is_(None), LetterRequest.gave_up.is_(None), LetterRequest.next_try_at <= now
    return select(LetterRequest).where(*waits).order_by(LetterRequest.id).limit(1)


def _within(now: datetime, last: datetime | None, span: timedelta) -> bool:
    """Whether something was a short while ago. It was not if the clock says that it is still to come."""
    return last is not None and last <= now < last + span
