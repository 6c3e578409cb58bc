"""Settling what is in doubt: by the owner's word, or by the log of the server that letters were handed to.

Every function takes the session; the entry point commits.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_app.db import changed
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState

# Postfix: `postfix/cleanup[42]: 4F2A: message-id=<…>` while it reads a letter, `postfix/qmgr[7]: 4F2A: from=<…>, …
# (queue active)` once it has taken it, and `…: 4F2A: to=<…>, …, status=sent` when it went on.
_NOTED = re.compile(r"postfix[^\s:]*/cleanup\[\d+\]: (\w+): message-id=(<[^>\s]+>)")
_TAKEN = re.compile(r"postfix[^\s:]*/(?:qmgr\[\d+\]: (\w+): from=<|\w+\[\d+\]: (\w+): to=<.*\bstatus=)")


class Word(StrEnum):
    """What the owner says of the letters in doubt."""

    ACCEPTED = "accepted"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling did, in numbers."""

    accepted: int = 0
    queued: int = 0
    in_doubt: int = 0


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

    What it took is accepted. What it began to read and never took did not arrive, and is sent again. What it does not
    name stays in doubt: the log may not reach so far back.
    """
    doubtful = _doubtful(session, mailing)
    queued_as: dict[str, int] = {}
    taken: set[int] = set()
    for line in lines:
        if found := _NOTED.search(line):
            if found[2] in doubtful:
                queued_as[found[1]] = doubtful[found[2]]
        elif (found := _TAKEN.search(line)) and (number := queued_as.get(found[1] or found[2])):
            taken.add(number)
    named = set(queued_as.values())
    begun = named - taken
    if mailing.state is MailingState.CANCELLED:
        # What is cancelled is not sent again; it did not arrive.
        _skip(session, begun, now)
        queued = 0
    else:
        queued = _queue(session, mailing, begun, "the server's log shows that it was not taken", now)
    accepted = _accept(session, taken, "the server's log shows that it was taken", now)
    return Settled(accepted, queued, len(doubtful) - len(named))


def _doubtful(session: Session, mailing: Mailing) -> dict[str, int]:
    query = select(Delivery.message_id, Delivery.id).where(
        Delivery.mailing_id == mailing.id, Delivery.state == DeliveryState.UNKNOWN
    )
    return {row[0] or f"#{row[1]}": row[1] for row in session.execute(query)}


def _change(session: Session, numbers: Iterable[int], values: dict[str, object]) -> int:
    # A row that was settled at this moment by somebody else is left alone.
    return sum(
        changed(
            session,
            update(Delivery).where(Delivery.id == number, Delivery.state == DeliveryState.UNKNOWN).values(**values),
        )
        for number in numbers
    )


def _accept(session: Session, numbers: Iterable[int], reason: str, now: datetime) -> int:
    return _change(session, numbers, {"state": DeliveryState.ACCEPTED, "reason": reason, "changed_at": now})


def _skip(session: Session, numbers: Iterable[int], now: datetime) -> int:
    return _change(session, numbers, {"state": DeliveryState.SKIPPED, "reason": "cancelled", "changed_at": now})


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
