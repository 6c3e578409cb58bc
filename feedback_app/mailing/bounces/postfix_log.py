"""Settling what is in doubt: by the owner's word, or by the log of the server that letters were handed to.

Every function takes the session; the entry point commits.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_app.db.store import rows_changed
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState
from feedback_app.mailing.words import CANCELLED

# Postfix: `postfix/cleanup[42]: 4F2A: message-id=<…>` while it reads a letter, `postfix/qmgr[7]: 4F2A: from=<…>, …
# (queue active)` once it has taken it, and `…: 4F2A: to=<…>, …, status=sent` when it went on.
_NOTED = re.compile(r"postfix[^\s:]*/cleanup\[\d+\]: (\w+): message-id=(<[^>\s]+>)")
_TAKEN = re.compile(r"postfix[^\s:]*/(?:qmgr\[\d+\]: (\w+): from=<|\w+\[\d+\]: (\w+): to=<.*\bstatus=)")
# `postfix/qmgr[7]: 4F2A: removed`: done with; the next letter may have the same name in the queue.
_REMOVED = re.compile(r"postfix[^\s:]*/qmgr\[\d+\]: (\w+): removed")
# How long a log has to go on before a letter that it shows no more of was not taken.
SILENCE = timedelta(hours=1)


class Word(StrEnum):
    """What the owner says of the letters in doubt."""

    ACCEPTED = "accepted"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling did, in numbers.

    `cut_off` are those still in doubt whose beginning the log shows, and not what came within the hour after it.
    """

    accepted: int = 0
    queued: int = 0
    in_doubt: int = 0
    cut_off: int = 0


class CannotResend(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A cancelled mailing's letters are not sent again; one line that says so."""


def settle(session: Session, mailing: Mailing, word: Word, *, now: datetime) -> Settled:
    """Call every letter in doubt accepted, or send it again: somebody may get it twice. Raises CannotResend."""
    numbers = list(_doubtful(session, mailing).values())
    if word is Word.ACCEPTED:
        return Settled(accepted=_accept(session, numbers, "accepted, on the owner's word", now))
    return Settled(queued=_queue(session, mailing, numbers, "sent again, on the owner's word", now))


def settle_from_log(session: Session, mailing: Mailing, lines: Iterable[str], *, now: datetime) -> Settled:
    """Settle what Postfix's log knows of, by Message-ID.

    What it took is accepted. What it began to read and never took did not arrive, and is sent again: if the log goes on
    for an hour, by its own times. What it does not name stays in doubt: the log may not reach so far back.
    """
    doubtful = _doubtful(session, mailing)
    reading = _Reading(doubtful)
    last = ""
    for line in lines:
        reading.read(line)
        last = line if line.strip() else last
    end = _time_of(last, now)
    begun = reading.begun.keys() - reading.taken
    not_taken = {number for number in begun if _is_over(_time_of(reading.begun[number], now), end)}
    if mailing.state is MailingState.CANCELLED:
        # What is cancelled is not sent again; it did not arrive.
        _skip(session, not_taken, now)
        queued = 0
    else:
        queued = _queue(session, mailing, not_taken, "the server's log shows that it was not taken", now)
    accepted = _accept(session, reading.taken, "the server's log shows that it was taken", now)
    in_doubt = len(doubtful) - len(reading.taken) - len(not_taken)
    return Settled(accepted, queued, in_doubt, len(begun) - len(not_taken))


@dataclass(slots=True)
class _Reading:
    """What a log has said so far of the letters in doubt, by their Message-IDs."""

    doubtful: dict[str, int]
    # The last line in which each was begun.
    begun: dict[int, str] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    # Whose name in the queue is whose, at this place in the log: Postfix uses a name again.
    _queued_as: dict[str, int] = field(default_factory=dict)

    def read(self, line: str) -> None:
        """Take the next line."""
        if found := _NOTED.search(line):
            self._queued_as.pop(found[1], None)
            if number := self.doubtful.get(found[2]):
                self._queued_as[found[1]] = number
                self.begun[number] = line
        elif found := _TAKEN.search(line):
            if number := self._queued_as.get(found[1] or found[2]):
                self.taken.add(number)
        elif found := _REMOVED.search(line):
            self._queued_as.pop(found[1], None)


def _time_of(line: str, now: datetime) -> datetime | None:
    """The time that a line of a log begins with; None where it can't be read."""
    with suppress(ValueError):
        return datetime.fromisoformat(line.split(maxsplit=1)[0] if line.strip() else "")
    # Syslog's own times have no year: it is the last one in which they were not to come.
    for year in (now.year, now.year - 1):
        with suppress(ValueError):
            moment = datetime.strptime(f"{year} {' '.join(line.split()[:3])}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007 - it has none
            if moment <= now.replace(tzinfo=None) + timedelta(days=1):
                return moment
    return None


def _is_over(begun: datetime | None, end: datetime | None) -> bool:
    """Whether a log goes on long enough after a letter's beginning. Times of two kinds can't be compared."""
    if not begun or not end or (begun.tzinfo is None) != (end.tzinfo is None):
        return False
    return end - begun >= SILENCE


def _doubtful(session: Session, mailing: Mailing) -> dict[str, int]:
    query = select(Delivery.message_id, Delivery.id).where(
        Delivery.mailing_id == mailing.id, Delivery.state == DeliveryState.UNKNOWN
    )
    return {row[0] or f"#{row[1]}": row[1] for row in session.execute(query)}


def _change(session: Session, numbers: Iterable[int], values: dict[str, object]) -> int:
    # A row that was settled at this moment by somebody else is left alone.
    return sum(
        rows_changed(
            session,
            update(Delivery).where(Delivery.id == number, Delivery.state == DeliveryState.UNKNOWN).values(**values),
        )
        for number in numbers
    )


def _accept(session: Session, numbers: Iterable[int], reason: str, now: datetime) -> int:
    return _change(session, numbers, {"state": DeliveryState.ACCEPTED, "reason": reason, "changed_at": now})


def _skip(session: Session, numbers: Iterable[int], now: datetime) -> int:
    return _change(session, numbers, {"state": DeliveryState.SKIPPED, "reason": CANCELLED, "changed_at": now})


def _queue(session: Session, mailing: Mailing, numbers: Iterable[int], reason: str, now: datetime) -> int:
    # Locked against a cancel at this moment: what it has not seen would leave after it.
    session.refresh(mailing, with_for_update=True)
    if mailing.state is MailingState.CANCELLED:
        message = f"{mailing.slug} is cancelled: what is in doubt can only be called --accepted"
        raise CannotResend(message)
    anew = {"state": DeliveryState.QUEUED, "next_try_at": None, "deferred_since": None}
    queued = _change(session, numbers, {**anew, "reason": reason, "changed_at": now})
    if queued and mailing.state is MailingState.SENT:
        mailing.state, mailing.ended_at = MailingState.SENDING, None
    return queued
