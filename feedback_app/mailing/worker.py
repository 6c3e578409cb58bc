"""The worker that sends: release what is due, claim, make, send, write down; and single letters."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.comments.answers import has_due_letters, want_due_letters
from feedback_app.config import Settings
from feedback_app.crypto import CannotOpen
from feedback_app.customers.services import person
from feedback_app.db import Store
from feedback_app.letter_requests import LetterRequest, NotWanted
from feedback_app.mailing import digests, ledger, services
from feedback_app.mailing.canary import allowance
from feedback_app.mailing.drafts import Draft
from feedback_app.mailing.gate import GateRefused
from feedback_app.mailing.letter import Letter
from feedback_app.mailing.messages import Desk, MailingMaker
from feedback_app.mailing.models import Mailing
from feedback_app.mailing.outcomes import Outcome
from feedback_app.mailing.singles import make_single
from feedback_app.mailing.transports import Transport, opened
from feedback_app.workers import BEAT, WorkerKind, beat, new_worker_id, sign_off

IDLE_SECONDS = 0.25
SINGLE_TRIES = 8
MOST_MAKERS = 32

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Done:
    """What a worker did, in numbers."""

    accepted: int = 0
    other: int = 0
    singles: int = 0

    def any(self) -> bool:
        """Whether it did anything."""
        return bool(self.accepted or self.other or self.singles)


@dataclass(slots=True)
class MailWorker:
    """One worker; any number of them can work at once."""

    store: Store
    settings: Settings
    desk: Desk
    transport: Transport
    id: str = field(default_factory=new_worker_id)
    _makers: dict[tuple[int, Draft], MailingMaker] = field(default_factory=dict)
    _last_beat: datetime | None = None
    _last_digests: datetime | None = None

    def work_once(self, stop: threading.Event | None = None) -> Done:
        """Do what is due now: a window of every mailing in turn, so that no long one keeps another waiting."""
        done = Done()
        while self._round(done) and not (stop and stop.is_set()):
            pass
        return done

    def _round(self, done: Done) -> bool:
        """Returns whether there may be more to do."""
        now = clock.now()
        self._beat(now)
        with self.store.writing() as session:
            ledger.rescue(session, now=now)
            self._make_digests(session, now)
            services.release_due(session, now=now)
        with self.store.reading() as session:
            on_their_way = [mailing.id for mailing in services.sending(session)]
        # Somebody waits for a link, nobody for a mailing.
        self._singles(done)
        more = [self._window(mailing_id, done) for mailing_id in on_their_way]
        if on_their_way:
            with self.store.writing() as session:
                services.finish(session, now=clock.now())
        return any(more)

    def sign_off(self) -> None:
        """End in good order."""
        with self.store.writing() as session:
            sign_off(session, self.id)

    def _beat(self, now: datetime) -> None:
        if self._last_beat is None or now - self._last_beat >= BEAT:
            with self.store.writing() as session:
                beat(session, self.id, WorkerKind.MAILER, now=now)
            self._last_beat = now

    def _make_digests(self, session: Session, now: datetime) -> None:
        if self._last_digests is None or now - self._last_digests >= digests.EVERY:
            digests.make_due(session, hold_minutes=self.settings.hold_minutes, now=now)
            self._last_digests = now

    def _window(self, mailing_id: int, done: Done) -> bool:
        """Claim, make, commit, send, commit. Returns whether there was anything to do."""
        try:
            with self.store.writing() as session:
                letters = self._prepare(session, mailing_id)
        except (GateRefused, CannotOpen) as error:
            with self.store.writing() as session:
                services.halt(session, mailing_id, str(error), now=clock.now())
            log.error("A mailing was halted: %s", error)  # noqa: TRY400 - the line says all; a traceback could quote
            return False
        if letters is None:
            return False
        for delivery_id, letter in letters:
            self._beat(clock.now())
            answer = self.transport.send(letter)
            with self.store.writing() as session:
                ledger.record(session, delivery_id, answer, now=clock.now())
            done.accepted += answer.outcome is Outcome.ACCEPTED
            done.other += answer.outcome is not Outcome.ACCEPTED
        return True

    def _prepare(self, session: Session, mailing_id: int) -> list[tuple[int, Letter]] | None:
        now = clock.now()
        most = allowance(
            session, mailing_id, most=self.settings.max_in_flight, halt_share=self.settings.halt_share, now=clock.now()
        )
        window = ledger.claim(
            session,
            mailing_id,
            worker_id=self.id,
            most=most,
            daily_cap=self.settings.daily_cap,
            now=now,
        )
        if not window.claimed:
            return [] if window.skipped else None
        mailing = session.get_one(Mailing, mailing_id)
        letters = []
        for one in window.claimed:
            maker = self._maker(mailing, one.draft)
            letter = maker.letter(person(session, one.customer), one.customer.format, now=now)
            one.delivery.message_id = letter.message_id
            letters.append((one.delivery.id, letter))
        return letters

    def _maker(self, mailing: Mailing, draft: Draft | None) -> MailingMaker:
        # By its text, too: a cancelled mailing can come again with a mended one, and a digest has several.
        draft = draft or Draft(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, mailing.body)
        key = (mailing.id, draft)
        if key not in self._makers:
            kept = self._makers if len(self._makers) < MOST_MAKERS else {}
            self._makers = {**kept, key: MailingMaker(self.desk, draft, mailing.id)}
        return self._makers[key]

    def _singles(self, done: Done) -> None:
        """Send the single letters that are wanted, each written down before and after.

        A request is put off for a while before its letter leaves, so that no other worker takes it and a crash does
        not lose it: somebody who waits for a link is better served twice than never.
        """
        with self.store.reading() as session:
            answered = has_due_letters(session, now=clock.now())
        if answered:
            with self.store.writing() as session:
                want_due_letters(session, now=clock.now())
        while True:
            with self.store.writing() as session:
                now = clock.now()
                request = session.scalar(
                    select(LetterRequest)
                    .where(
                        LetterRequest.sent_at.is_(None),
                        LetterRequest.gave_up.is_(None),
                        LetterRequest.next_try_at <= now,
                    )
                    .order_by(LetterRequest.id)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                if request is None:
                    return
                request.attempts += 1
                request.next_try_at = now + timedelta(minutes=2**request.attempts)
                try:
                    letter = make_single(session, self.desk, request, now=now)
                except (NotWanted, GateRefused, CannotOpen) as error:
                    request.gave_up = str(error)[:200]
                    continue
            answer = self.transport.send(letter)
            with self.store.writing() as session:
                kept = session.get(LetterRequest, request.id)
                if kept is not None and answer.outcome in {Outcome.ACCEPTED, Outcome.UNKNOWN}:
                    kept.sent_at = clock.now()
                elif kept is not None and (answer.outcome is Outcome.FAILED or kept.attempts >= SINGLE_TRIES):
                    kept.gave_up = answer.words[:200]
            done.singles += answer.outcome is Outcome.ACCEPTED


@contextmanager
def mail_worker(store: Store, settings: Settings, desk: Desk) -> Iterator[MailWorker]:
    """A worker with its transport; it signs off at the end."""
    with opened(settings.smtp_url) as transport:
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
    chores_at = clock.now()
    while not stop.is_set():
        done = worker.work_once(stop)
        if done.any():
            tell(done)
        if clock.now() >= chores_at:
            hourly()
            chores_at = clock.now() + timedelta(hours=1)
        stop.wait(IDLE_SECONDS)
