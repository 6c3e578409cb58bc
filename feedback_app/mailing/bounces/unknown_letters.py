"""Resolves letters in doubt: by what the owner knows, or with the log of the server that they were sent to.

Every function takes the session; the entry point commits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_app.db.store import rows_changed
from feedback_app.mailing.bounces.postfix_log import LogReader
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState
from feedback_app.mailing.words import CANCELLED


class Resolution(StrEnum):
    """What the owner decides about the letters in doubt."""

    ACCEPTED = "accepted"
    RESEND = "resend"


@dataclass(frozen=True, slots=True)
class Resolved:
    """How many letters were called accepted, queued again, and are still in doubt.

    `cut_off` are those still in doubt whose beginning the log shows, but not the hour after it.
    """

    accepted: int = 0
    queued: int = 0
    in_doubt: int = 0
    cut_off: int = 0


class CannotResend(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The letters of a cancelled mailing are not sent again; the message is one line that says so."""


def resolve_all(session: Session, mailing: Mailing, resolution: Resolution, *, now: datetime) -> Resolved:
    """Call every letter in doubt accepted, or send it again, which a customer may get twice. Raises CannotResend."""
    numbers = list(find_unknown(session, mailing).values())
    if resolution is Resolution.ACCEPTED:
        return Resolved(accepted=_accept(session, numbers, "accepted, on the owner's word", now))
    return Resolved(queued=_queue(session, mailing, numbers, "sent again, on the owner's word", now))


def resolve_from_log(session: Session, mailing: Mailing, lines: Iterable[str], *, now: datetime) -> Resolved:
    """Resolve the letters that Postfix's log names, by Message-ID.

    Letters that the server took are accepted. Letters that it began to read and never took did not arrive, and are
    sent again, if the log goes on for an hour by its own times. Letters that the log does not name stay in doubt: it
    may not reach back far enough.
    """
    unknown = find_unknown(session, mailing)
    log = LogReader(unknown)
    log.read(lines)
    not_taken = log.not_taken(now)
    if mailing.state is MailingState.CANCELLED:
        # They did not arrive, and a cancelled mailing's letters are not sent again.
        _skip(session, not_taken, now)
        queued = 0
    else:
        queued = _queue(session, mailing, not_taken, "the server's log shows that it was not taken", now)
    accepted = _accept(session, log.taken, "the server's log shows that it was taken", now)
    in_doubt = len(unknown) - len(log.taken) - len(not_taken)
    return Resolved(accepted, queued, in_doubt, len(log.cut_off(now)))


def find_unknown(session: Session, mailing: Mailing) -> dict[str, int]:
    """Return the numbers of a mailing's letters in doubt, by Message-ID."""
    query = select(Delivery.message_id, Delivery.id).where(
        Delivery.mailing_id == mailing.id, Delivery.state == DeliveryState.UNKNOWN
    )
    return {row[0] or f"#{row[1]}": row[1] for row in session.execute(query)}


def _change(session: Session, numbers: Iterable[int], values: dict[str, object]) -> int:
    # A letter that another process has resolved meanwhile is left alone.
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
    # Locked, so that no cancel happens at this moment: it would not see these letters, and they would leave after it.
    session.refresh(mailing, with_for_update=True)
    if mailing.state is MailingState.CANCELLED:
        message = f"{mailing.slug} is cancelled: what is in doubt can only be called --accepted"
        raise CannotResend(message)
    waiting = {"state": DeliveryState.QUEUED, "next_try_at": None, "deferred_since": None}
    queued = _change(session, numbers, {**waiting, "reason": reason, "changed_at": now})
    if queued and mailing.state is MailingState.SENT:
        mailing.state, mailing.ended_at = MailingState.SENDING, None
    return queued
