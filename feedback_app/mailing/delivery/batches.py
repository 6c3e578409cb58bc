"""Windows of a mailing's letters: claimed together, sent as they are made, written down together.

A window costs one commit: the answers of the one before ride in it. While the server reads letters the next are made.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.customers.services import person
from feedback_app.db.prepared import Driver, session_of
from feedback_app.db.store import Store
from feedback_app.i18n import said
from feedback_app.mailing.delivery import claims, ledger
from feedback_app.mailing.delivery.send_rates import SendRates
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.composer import LetterContext, MailingMaker
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.canary import allowance
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.security.crypto import CannotOpen

MOST_MAKERS = 32
# Real seconds between two looks whether somebody stopped the mailing meanwhile: at full speed a window takes less.
LOOK_SECONDS = 0.05
# So long letters of one window leave, at most: somebody may wait for a link, or another mailing for its turn.
WINDOW_SECONDS = 2.0
# One in so many of those that may be in flight is few.
FEW = 4

log = logging.getLogger(__name__)

Item = TypeVar("Item")


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
class BatchSender:
    """A worker's windows. `alive` is asked before every letter; after a no, the rest of the window goes back.

    So it does where somebody stopped the mailing, which is asked before every window and now and then within one.
    """

    store: Store
    settings: Settings
    desk: LetterContext
    worker_id: str
    pace: SendRates
    alive: Callable[[datetime], bool]
    # Whose letters are on their way, by these' identifiers; and what has to be written down with the next commit.
    _on_their_way: dict[str, int] = field(default_factory=dict)
    _answers: dict[int, Answer] = field(default_factory=dict)
    _unsent: dict[int, datetime | None] = field(default_factory=dict)
    # Whether a claim may have been kept of which this worker was told that it was not; none of it was sent.
    _is_in_doubt: bool = False
    _makers: dict[tuple[int, MailingSource, str], MailingMaker] = field(default_factory=dict)
    # The last row of each mailing that was claimed for the first time.
    _last: dict[int, int] = field(default_factory=dict)
    # Of this process' own clock: when a window was claimed, and when it was last asked after its mailing.
    _claimed_at: float = 0.0
    _asked_at: float = 0.0

    def turn(self, transport: Transport, mailing_id: int, done: Done) -> bool:
        """Claim a window of a mailing and send it. Returns whether there was anything."""
        now = clock.now()
        try:
            window = self._claim(mailing_id, now)
        except Exception:
            # Nobody knows when the store works again: by then the server may have hung up.
            self.wait(transport, done)
            self._is_in_doubt = True
            raise
        if not window.claimed and not window.skipped:
            self._last.pop(mailing_id, None)
            return False
        self._send(transport, mailing_id, window, done, at=now)
        self._last[mailing_id] = window.last
        return True

    def wait(self, transport: Transport, done: Done) -> None:
        """Wait for what is on its way."""
        if self._on_their_way:
            self._hear(transport.all_answers(), done)

    def write_down(self, transport: Transport, done: Done) -> bool:
        """Wait for what is on its way and write down what is known. Returns whether there was anything."""
        self.wait(transport, done)
        if not self._answers and not self._unsent and not self._is_in_doubt:
            return False
        self.store.write_lightly(self._note)
        self._noted()
        return True

    def _note(self, at: Session | Driver) -> None:
        now = clock.now()
        ledger.record(at, self._answers, now=now)
        ledger.take_back(at, self._unsent, worker_id=self.worker_id, now=now)
        if self._is_in_doubt:
            ledger.take_all_back(session_of(at), worker_id=self.worker_id, now=now)

    def _noted(self) -> None:
        self._answers, self._unsent, self._is_in_doubt = {}, {}, False

    def _claim(self, mailing_id: int, now: datetime) -> claims.Batch:
        """Write down what is known and claim the next rows, in one commit."""
        most = self.pace.free(now, self.settings.max_in_flight - len(self._on_their_way))

        def work(at: Session | Driver) -> claims.Batch:
            self._note(at)
            allowed = allowance(at, mailing_id, most=most, halt_share=self.settings.halt_share, now=now)
            return claims.claim(
                at,
                mailing_id,
                worker_id=self.worker_id,
                most=allowed,
                daily_cap=self.settings.daily_cap,
                now=now,
                fresh=self.pace.fresh(now, most),
                after=self._last.get(mailing_id, 0),
                named=lambda customer: self.desk.mailing_message_id(mailing_id, customer),
            )

        window = self.store.write_lightly(work)
        self._noted()
        self._claimed_at = self._asked_at = time.monotonic()
        return window

    def _send(self, transport: Transport, mailing_id: int, window: claims.Batch, done: Done, *, at: datetime) -> None:
        """Make and send a window's letters: the server reads some while the next are made.

        The last ones of a full window stay on their way while the next is claimed, if they are few.
        """
        waiting: dict[int, datetime | None] = dict.fromkeys(one.id for one in window.claimed)
        refused, goes_on = "", False
        full = len(window.claimed) + len(self._on_their_way) == self.settings.max_in_flight
        made = self._letters(mailing_id, window, at)
        # Of the first window all are made before any leaves: a mailing that the gate stops mostly stops there.
        ahead = transport.parallel_letters if mailing_id in self._last else len(window.claimed)
        try:
            for number, letter in _in_batches(made, ahead):
                if isinstance(letter, datetime):
                    waiting[number] = letter
                    continue
                if len(waiting) < len(window.claimed) and self._is_over(mailing_id):
                    break
                now = clock.now()
                if not self.alive(now):
                    break
                self.pace.take(now)
                del waiting[number]
                self._on_their_way[letter.message_id] = number
                transport.submit(letter)
            else:
                goes_on = full and transport.most_unanswered * FEW <= self.settings.max_in_flight
        except (GateRefused, CannotOpen) as error:
            refused = str(error)
        finally:
            # Also on the way out: what is on its way is waited for, and the rest goes back.
            self._unsent |= waiting
            if goes_on:
                self._hear(transport.answers_so_far(), done)
            else:
                self.wait(transport, done)
        if refused:
            self._halt(mailing_id, refused)

    def _hear(self, answers: list[tuple[str, Answer | None]], done: Done) -> None:
        for identifier, answer in answers:
            number = self._on_their_way.pop(identifier, None)
            if number is None:
                # A single letter, whose answer nobody waited for.
                continue
            if answer is None:
                # It is claimed again, with all that is asked then.
                self._unsent[number] = None
                continue
            self._answers[number] = answer
            if answer.outcome is Outcome.ACCEPTED:
                done.accepted += 1
            else:
                done.other += 1

    def _is_over(self, mailing_id: int) -> bool:
        """Whether a window's rest stays here: it took long, or the mailing was stopped since it was last asked."""
        now = time.monotonic()
        if now - self._claimed_at > WINDOW_SECONDS:
            return True
        if now - self._asked_at < LOOK_SECONDS:
            return False
        self._asked_at = now
        with self.store.asking() as driver:
            return not claims.is_sending(driver, mailing_id)

    def _letters(self, mailing_id: int, window: claims.Batch, at: datetime) -> Iterator[tuple[int, Letter | datetime]]:
        """A window's letters, by their rows' numbers, or the turns that they have to wait for. Raises GateRefused."""
        # Of what is said to all, by language: to look one up by its whole text takes longer.
        makers: dict[str, MailingMaker] = {}
        limited = self.pace.limited
        for one in window.claimed:
            reader = person(self.store, one.reader)
            later = limited and self.pace.later(reader.address, clock.now(), waited=one.waited)
            if later:
                yield one.id, later
                continue
            language = self.desk.language_of(reader)
            if one.draft:
                # The subject of a digest is a word of ours, not of the shop's.
                digest = replace(one.draft, subject=said(one.draft.subject, language))
                maker = self._maker(mailing_id, digest, language)
            else:
                maker = makers.get(language) or self._maker(mailing_id, window.draft, language)
                makers[language] = maker
            yield one.id, maker.letter(reader, one.reader.format, now=at, message_id=one.message_id)

    def _halt(self, mailing_id: int, reason: str) -> None:
        def work(session: Session) -> None:
            self._note(session)
            services.halt(session, mailing_id, reason, now=clock.now())

        self.store.write(work)
        self._noted()
        log.error("A mailing was halted: %s", reason)

    def _maker(self, mailing_id: int, draft: MailingSource | None, language: str) -> MailingMaker:
        # By its text, too: a cancelled mailing can come again with a mended one, and a digest has several.
        if draft is None:
            message = "a window that claimed something has a draft"
            raise ValueError(message)
        key = (mailing_id, draft, language)
        if key not in self._makers:
            kept = self._makers if len(self._makers) < MOST_MAKERS else {}
            self._makers = {**kept, key: MailingMaker(self.desk, draft, mailing_id, language)}
        return self._makers[key]


def _in_batches(items: Iterator[Item], size: int) -> Iterator[Item]:
    """The same, so many of them fetched at a time."""
    while batch := list(islice(items, size)):
        yield from batch
