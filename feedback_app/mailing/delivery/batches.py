"""Batches of a mailing's letters: claimed together, sent as they are made, and recorded together.

A batch costs one commit: the transaction that claims it also records the answers of the batch before. While the server
reads letters, the next ones are made.
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
from feedback_app.db.store import Store
from feedback_app.i18n import said
from feedback_app.mailing.delivery import ledger
from feedback_app.mailing.delivery.claims import Batch, claim_batch, is_sending
from feedback_app.mailing.delivery.send_rates import SendRates
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.canary import allowance
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.security.crypto import CannotOpen

MAX_MAKERS = 32
# Seconds on the real clock between two looks at whether the mailing was stopped; at full speed a batch takes less.
STOP_CHECK_SECONDS = 0.05
# Letters of one batch leave for at most this long: a single letter may wait, or another mailing.
BATCH_SECONDS = 2.0
# The last letters of a batch are not waited for where they are at most this share of those that may be in flight.
SMALL_SHARE = 4

log = logging.getLogger(__name__)

Item = TypeVar("Item")


@dataclass(slots=True)
class SendCounts:
    """How many letters of mailings were accepted, how many got another answer, and how many single letters left."""

    accepted: int = 0
    other: int = 0
    singles: int = 0

    def any(self) -> bool:
        """Return whether there was any letter."""
        return bool(self.accepted or self.other or self.singles)

    def add(self, more: "SendCounts") -> None:
        """Add these counts."""
        self.accepted += more.accepted
        self.other += more.other
        self.singles += more.singles


@dataclass(slots=True)
class BatchSender:
    """Sends one worker's batches.

    `is_believed_alive` is asked before every letter. After a no the other workers may take this one for dead, so the
    rest of the batch is put back. The same happens when the mailing was stopped, which is looked at before every batch
    and every now and then within one.
    """

    store: Store
    settings: Settings
    context: LetterContext
    worker_id: str
    send_rates: SendRates
    is_believed_alive: Callable[[datetime], bool]
    # Delivery ids by Message-ID, of letters that were submitted and have no answer yet.
    _in_flight: dict[str, int] = field(default_factory=dict)
    # What the next transaction has to record, by delivery id: answers; and letters that did not leave, with their next
    # try.
    _answers: dict[int, Answer] = field(default_factory=dict)
    _unsent: dict[int, datetime | None] = field(default_factory=dict)
    # Whether a claim failed at its commit. It may have been kept all the same; none of its letters was sent.
    _may_have_unsent_claims: bool = False
    _makers: dict[tuple[int, MailingSource, str], MailingLetters] = field(default_factory=dict)
    # The last delivery of each mailing that was claimed for the first time.
    _last_ids: dict[int, int] = field(default_factory=dict)
    # On the process's monotonic clock: when the batch was claimed, and when its mailing was last seen to be sending.
    _claimed_at: float = 0.0
    _checked_at: float = 0.0

    def send_next(self, transport: Transport, mailing_id: int, counts: SendCounts) -> bool:
        """Claim a batch of a mailing and send it. Return whether there was anything to do."""
        now = clock.now()
        try:
            batch = self._claim(mailing_id, now)
        except Exception:
            # The store may fail for long, and the server would hang up meanwhile: its answers are read first.
            self.wait_for_answers(transport, counts)
            self._may_have_unsent_claims = True
            raise
        if not batch.claimed and not batch.skipped:
            self._last_ids.pop(mailing_id, None)
            return False
        self._send(transport, mailing_id, batch, counts, at=now)
        self._last_ids[mailing_id] = batch.last_id
        return True

    def wait_for_answers(self, transport: Transport, counts: SendCounts) -> None:
        """Wait for the answers to all letters in flight."""
        if self._in_flight:
            self._note_answers(transport.all_answers(), counts)

    def record(self, transport: Transport, counts: SendCounts) -> bool:
        """Wait for the answers to all letters in flight and record them. Return whether there was anything to do."""
        self.wait_for_answers(transport, counts)
        if not self._answers and not self._unsent and not self._may_have_unsent_claims:
            return False
        self.store.write(self._record)
        self._forget_recorded()
        return True

    def _record(self, session: Session) -> None:
        """Record what is known, within a transaction that may yet fail: nothing is forgotten here."""
        now = clock.now()
        ledger.record_answers(session, self._answers, now=now)
        ledger.requeue(session, self._unsent, worker_id=self.worker_id, now=now)
        if self._may_have_unsent_claims:
            ledger.requeue_unsent_claims(session, worker_id=self.worker_id, now=now)

    def _forget_recorded(self) -> None:
        """Forget what was recorded, after the commit."""
        self._answers, self._unsent, self._may_have_unsent_claims = {}, {}, False

    def _claim(self, mailing_id: int, now: datetime) -> Batch:
        """Record what is known and claim the next deliveries, in one transaction."""
        room = self.send_rates.available(now, self.settings.max_in_flight - len(self._in_flight))

        def work(session: Session) -> Batch:
            self._record(session)
            return claim_batch(
                session,
                mailing_id,
                worker_id=self.worker_id,
                limit=allowance(session, mailing_id, limit=room, halt_share=self.settings.halt_share, now=now),
                daily_cap=self.settings.daily_cap,
                now=now,
                message_id_for=lambda customer_id: self.context.mailing_message_id(mailing_id, customer_id),
                untried_limit=self.send_rates.untried_limit(now, room),
                after_id=self._last_ids.get(mailing_id, 0),
            )

        batch = self.store.write(work)
        self._forget_recorded()
        self._claimed_at = self._checked_at = time.monotonic()
        return batch

    def _send(self, transport: Transport, mailing_id: int, batch: Batch, counts: SendCounts, *, at: datetime) -> None:
        """Make and submit a batch's letters, then read the answers.

        After a full batch the last letters stay in flight while the next batch is claimed, if they are few.
        """
        unsent: dict[int, datetime | None] = dict.fromkeys(delivery.id for delivery in batch.claimed)
        is_full = len(batch.claimed) + len(self._in_flight) == self.settings.max_in_flight
        are_few = transport.most_unanswered * SMALL_SHARE <= self.settings.max_in_flight
        refusal, was_submitted = "", False
        try:
            was_submitted = self._submit(transport, mailing_id, batch, unsent, at=at)
        except (GateRefused, CannotOpen) as error:
            refusal = str(error)
        finally:
            # After an error, too, the answers are read and the rest of the batch is put back.
            self._unsent |= unsent
            if was_submitted and is_full and are_few:
                self._note_answers(transport.answers_so_far(), counts)
            else:
                self.wait_for_answers(transport, counts)
        if refusal:
            self._halt(mailing_id, refusal)

    def _submit(
        self,
        transport: Transport,
        mailing_id: int,
        batch: Batch,
        unsent: dict[int, datetime | None],
        *,
        at: datetime,
    ) -> bool:
        """Submit a batch's letters and take them out of `unsent`. Return whether the end of the batch was reached.

        Raises GateRefused and CannotOpen.
        """
        letters = self._letters(mailing_id, batch, at)
        # All letters of a mailing's first batch are made before any leaves: a mailing that the gate refuses is mostly
        # refused there.
        made_ahead = transport.parallel_letters if mailing_id in self._last_ids else len(batch.claimed)
        for delivery_id, letter in _in_groups(letters, made_ahead):
            if isinstance(letter, datetime):
                unsent[delivery_id] = letter
                continue
            # The first letter leaves without a look: its mailing was seen to be sending when it was claimed.
            if len(unsent) < len(batch.claimed) and self._has_to_stop(mailing_id):
                return False
            now = clock.now()
            if not self.is_believed_alive(now):
                return False
            self.send_rates.count(now)
            del unsent[delivery_id]
            self._in_flight[letter.message_id] = delivery_id
            transport.submit(letter)
        return True

    def _note_answers(self, answers: list[tuple[str, Answer | None]], counts: SendCounts) -> None:
        for message_id, answer in answers:
            delivery_id = self._in_flight.pop(message_id, None)
            if delivery_id is None:
                # A single letter, whose answer was not waited for.
                continue
            if answer is None:
                # It did not leave, and is claimed again with all that is asked then.
                self._unsent[delivery_id] = None
                continue
            self._answers[delivery_id] = answer
            if answer.outcome is Outcome.ACCEPTED:
                counts.accepted += 1
            else:
                counts.other += 1

    def _has_to_stop(self, mailing_id: int) -> bool:
        """Return whether the rest of a batch stays here: it has taken long, or its mailing was stopped."""
        now = time.monotonic()
        if now - self._claimed_at > BATCH_SECONDS:
            return True
        if now - self._checked_at < STOP_CHECK_SECONDS:
            return False
        self._checked_at = now
        with self.store.reading() as session:
            return not is_sending(session, mailing_id)

    def _letters(self, mailing_id: int, batch: Batch, at: datetime) -> Iterator[tuple[int, Letter | datetime]]:
        """Yield a delivery id with its letter, or with the moment until which it has to wait for its domain's rate.

        Raises GateRefused and CannotOpen.
        """
        # Makers of the mailing's own text by language: a look-up by the whole text takes longer.
        makers: dict[str, MailingLetters] = {}
        is_limited = self.send_rates.is_limited
        for delivery in batch.claimed:
            recipient = person(self.store, delivery.customer)
            slot = is_limited and self.send_rates.later_slot(
                recipient.address, clock.now(), was_deferred=delivery.was_deferred
            )
            if slot:
                yield delivery.id, slot
                continue
            language = self.context.language_of(recipient)
            if delivery.source:
                # A digest's subject comes from the program, not from the shop: it is translated.
                digest = replace(delivery.source, subject=said(delivery.source.subject, language))
                maker = self._maker(mailing_id, digest, language)
            else:
                maker = makers.get(language) or self._maker(mailing_id, batch.source, language)
                makers[language] = maker
            letter = maker.letter(recipient, delivery.customer.format, now=at, message_id=delivery.message_id)
            yield delivery.id, letter

    def _halt(self, mailing_id: int, reason: str) -> None:
        def work(session: Session) -> None:
            self._record(session)
            services.halt(session, mailing_id, reason, now=clock.now())

        self.store.write(work)
        self._forget_recorded()
        log.error("A mailing was halted: %s", reason)

    def _maker(self, mailing_id: int, source: MailingSource | None, language: str) -> MailingLetters:
        if source is None:
            message = "a batch that claimed something has a source"
            raise ValueError(message)
        # The text is part of the key: a cancelled mailing can come again with another one, and a digest has several.
        key = (mailing_id, source, language)
        if key not in self._makers:
            kept = self._makers if len(self._makers) < MAX_MAKERS else {}
            self._makers = {**kept, key: MailingLetters(self.context, source, mailing_id, language)}
        return self._makers[key]


def _in_groups(items: Iterator[Item], size: int) -> Iterator[Item]:
    """Yield the same items, fetching so many at a time."""
    while group := list(islice(items, size)):
        yield from group
