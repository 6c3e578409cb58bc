"""Windows of a mailing's letters: claimed together, made while the window before is on its way, written down together.

A window costs one commit: the answers of the one before ride in it. Two windows at a time are `submitting`, so each is
half of what may be in flight: one is on its way, the other is being made.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.crypto import CannotOpen
from feedback_app.customers.services import person
from feedback_app.db import Store
from feedback_app.languages import said
from feedback_app.mailing import claims, ledger, services
from feedback_app.mailing.canary import allowance
from feedback_app.mailing.drafts import Draft
from feedback_app.mailing.gate import GateRefused
from feedback_app.mailing.letter import Letter
from feedback_app.mailing.messages import Desk, MailingMaker
from feedback_app.mailing.outcomes import Answer, Outcome
from feedback_app.mailing.pace import Pace
from feedback_app.mailing.transports import Transport

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

    def add(self, more: "Done") -> None:
        """Count what was done besides."""
        self.accepted += more.accepted
        self.other += more.other
        self.singles += more.singles


@dataclass(slots=True)
class _Batch:
    """Rows that are claimed, and as many of their letters as have been made."""

    mailing_id: int
    window: claims.Window
    at: datetime
    looked_at: int = 0
    letters: list[tuple[int, Letter]] = field(default_factory=list)
    # Why its mailing has to be halted.
    refused: str | None = None


@dataclass(slots=True)
class Windows:
    """A worker's windows. `alive` is asked before every letter; after a no, what is ready goes back."""

    store: Store
    settings: Settings
    desk: Desk
    worker_id: str
    pace: Pace
    alive: Callable[[], bool]
    _ahead: _Batch | None = None
    # What has to be written down with the next commit.
    _answers: dict[int, Answer] = field(default_factory=dict)
    _unsent: dict[int, datetime | None] = field(default_factory=dict)
    _makers: dict[tuple[int, Draft, str], MailingMaker] = field(default_factory=dict)
    # The last row of each mailing that was claimed for the first time.
    _last: dict[int, int] = field(default_factory=dict)

    def turn(self, transport: Transport, mailing_id: int, done: Done) -> bool:
        """Claim a window of a mailing, send the one before it, make this one. Returns whether there was anything."""
        # Where letters have to wait for their turn, none is claimed before it can leave.
        two = self.settings.max_in_flight > 1 and not self.pace.limited
        if not two:
            self._send_ahead(transport, None, done)
        batch = self._claim(mailing_id, self.settings.max_in_flight // 2 if two else self.settings.max_in_flight)
        if batch is None:
            return False
        self._send_ahead(transport, batch, done)
        return True

    def settle(self, transport: Transport, done: Done) -> bool:
        """Send what is ready and write down what is known. Returns whether there was anything."""
        self._send_ahead(transport, None, done)
        return self.write_down()

    def write_down(self) -> bool:
        """Write down what is known. Returns whether there was anything."""
        if not self._answers and not self._unsent:
            return False
        self.store.write(self._note)
        self._noted()
        return True

    def leave(self) -> None:
        """Put back what is ready and was not sent."""
        if self._ahead:
            self._unsent |= dict.fromkeys(number for number, _ in self._ahead.letters)
            self._ahead = None
        self.write_down()

    def _note(self, session: Session) -> None:
        now = clock.now()
        ledger.record(session, self._answers, now=now)
        ledger.take_back(session, self._unsent, worker_id=self.worker_id, now=now)

    def _noted(self) -> None:
        self._answers, self._unsent = {}, {}

    def _claim(self, mailing_id: int, most: int) -> _Batch | None:
        """Write down what is known and claim the next rows, in one commit."""
        now = clock.now()
        most = self.pace.free(now, most)

        def work(session: Session) -> claims.Window:
            self._note(session)
            allowed = allowance(session, mailing_id, most=most, halt_share=self.settings.halt_share, now=now)
            return claims.claim(
                session,
                mailing_id,
                worker_id=self.worker_id,
                most=allowed,
                daily_cap=self.settings.daily_cap,
                now=now,
                fresh=self.pace.fresh(now, most),
                after=self._last.get(mailing_id, 0),
                named=lambda customer: self.desk.mailing_message_id(mailing_id, customer),
            )

        window = self.store.write(work)
        self._noted()
        if not window.claimed and not window.skipped:
            self._last.pop(mailing_id, None)
            return None
        self._last[mailing_id] = window.last
        return _Batch(mailing_id, window, now)

    def _send_ahead(self, transport: Transport, batch: _Batch | None, done: Done) -> None:
        """Send the window that is ready, and make the next one meanwhile."""
        ready, self._ahead = self._ahead, None
        letters = ready.letters if ready else []
        submitted = 0
        try:
            with self.store.reading() as session:
                for _, letter in letters:
                    if not self.alive():
                        break
                    self.pace.take(clock.now())
                    submitted += 1
                    transport.submit(letter)
                    if batch:
                        self._make(session, batch)
                        if batch.refused and ready and ready.mailing_id == batch.mailing_id:
                            # Nothing more of it leaves.
                            break
                while batch and self._make(session, batch):
                    pass
        finally:
            # Also on the way out: what is on its way is waited for, and the rest goes back.
            answers = transport.answers() if submitted else []
            for (number, _), (_, answer) in zip(letters, answers, strict=False):
                self._answers[number] = answer
                done.accepted += answer.outcome is Outcome.ACCEPTED
                done.other += answer.outcome is not Outcome.ACCEPTED
            self._unsent |= dict.fromkeys(number for number, _ in letters[submitted:])
            whole = batch is not None and batch.looked_at == len(batch.window.claimed) and not batch.refused
            if batch and not whole:
                self._unsent |= dict.fromkeys(one.id for one in batch.window.claimed)
        if batch and batch.refused:
            self._halt(batch.mailing_id, batch.refused)
        elif batch:
            self._ahead = batch

    def _make(self, session: Session, batch: _Batch) -> bool:
        """Make the next letter of a window. Returns whether there may be another one."""
        if batch.refused or batch.looked_at == len(batch.window.claimed):
            return False
        one = batch.window.claimed[batch.looked_at]
        batch.looked_at += 1
        try:
            reader = person(session, one.reader.sealed)
            later = self.pace.later(reader.address, clock.now(), waited=one.waited)
            if later:
                self._unsent[one.id] = later
                return True
            language = self.desk.language_of(reader)
            # The subject of a digest is a word of ours, not of the shop's.
            digest = replace(one.draft, subject=said(one.draft.subject, language)) if one.draft else None
            maker = self._maker(batch.mailing_id, digest or batch.window.draft, language)
            batch.letters.append(
                (one.id, maker.letter(reader, one.reader.format, now=batch.at, message_id=one.message_id))
            )
        except (GateRefused, CannotOpen) as error:
            batch.refused = str(error)
        return True

    def _halt(self, mailing_id: int, reason: str) -> None:
        def work(session: Session) -> None:
            self._note(session)
            services.halt(session, mailing_id, reason, now=clock.now())

        self.store.write(work)
        self._noted()
        log.error("A mailing was halted: %s", reason)

    def _maker(self, mailing_id: int, draft: Draft | None, language: str) -> MailingMaker:
        # By its text, too: a cancelled mailing can come again with a mended one, and a digest has several.
        if draft is None:
            message = "a window that claimed something has a draft"
            raise ValueError(message)
        key = (mailing_id, draft, language)
        if key not in self._makers:
            kept = self._makers if len(self._makers) < MOST_MAKERS else {}
            self._makers = {**kept, key: MailingMaker(self.desk, draft, mailing_id, language)}
        return self._makers[key]
