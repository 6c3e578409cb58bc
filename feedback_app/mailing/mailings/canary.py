"""Who goes first: the owner's copy, then a few letters; when too many of these are refused the rest stays here."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from feedback_app.db.prepared import Driver, Prepared, driver_of, session_of
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState

SHARE = 100
SMALLEST = 5
# A mailing does not wait longer for the owner's copy to be taken: a full mailbox there is not the customers' matter.
# Nor does one that seems to begin in times to come: the clock was put back.
COPY_PATIENCE = timedelta(minutes=30)

_COPY_WAITS = (
    select(LetterRequest.id)
    .where(
        LetterRequest.kind == LetterKind.MAILING_COPY,
        LetterRequest.about == Mailing.id,
        LetterRequest.sent_at.is_(None),
        LetterRequest.gave_up.is_(None),
        Mailing.started_at <= bindparam("now"),
        Mailing.started_at > bindparam("since"),
    )
    .exists()
)
_STANDING = Prepared(select(Mailing.state, Mailing.canary, _COPY_WAITS).where(Mailing.id == bindparam("mailing")))


def canary_of(total: int) -> int:
    """How many of a mailing's letters go first. A mailing that is no larger has no rest to keep back: 0."""
    canary = max(SMALLEST, -(-total // SHARE))
    return canary if canary < total else 0


def allowance(at: Session | Driver, mailing_id: int, *, most: int, halt_share: float, now: datetime) -> int:
    """How many letters of a mailing may be claimed now, at most.

    None before the owner has got the copy that was made for them. The first hundredth, at least five, goes ahead as a
    canary: no more until these are answered, and when more of them were refused than `halt_share` the mailing is
    halted, with all that has not left. Raises NeedsSession.
    """
    since = now - COPY_PATIENCE
    [(state, canary, copy_waits)] = _STANDING.run(driver_of(at), mailing=mailing_id, now=now, since=since)
    if state is not MailingState.SENDING:
        return most
    if copy_waits:
        return 0
    if not canary:
        return most
    # One worker at a time counts: two would let twice as many go.
    session = session_of(at)
    mailing = session.scalars(
        select(Mailing).where(Mailing.id == mailing_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    refused = _count(session, mailing, DeliveryState.FAILED)
    # To be asked to try again is an answer, and no refusal.
    put_off = _count(session, mailing, DeliveryState.DEFERRED, Delivery.attempts > 0)
    answered = refused + put_off + _count(session, mailing, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN)
    if refused > halt_share * mailing.canary:
        reason = f"{refused} of the first {answered} letters were refused; {_most_said(session, mailing)}"
        # Who resumes it has seen the refusals: it is not kept back for the same ones again.
        mailing.canary, mailing.state, mailing.reason = 0, MailingState.HALTED, reason
        queue_letter(session, LetterKind.MAILING_HALTED, None, now=now, about=mailing_id)
        return 0
    if answered >= mailing.canary:
        mailing.canary = 0
        return most
    return max(0, min(most, mailing.canary - answered - _count(session, mailing, DeliveryState.SUBMITTING)))


def waits_for_copy(session: Session, mailing: Mailing, *, now: datetime) -> bool:
    """Whether a mailing waits until the owner has got the copy that was made for them."""
    [(state, _, waits)] = _STANDING.run(driver_of(session), mailing=mailing.id, now=now, since=now - COPY_PATIENCE)
    return state is MailingState.SENDING and bool(waits)


def _count(session: Session, mailing: Mailing, *which: DeliveryState | ColumnElement[bool]) -> int:
    """How many stand in one of these states."""
    states = [one for one in which if isinstance(one, DeliveryState)]
    query = select(func.count()).where(Delivery.mailing_id == mailing.id, Delivery.state.in_(states))
    return session.scalar(query.where(*(one for one in which if not isinstance(one, DeliveryState)))) or 0


def _most_said(session: Session, mailing: Mailing) -> str:
    query = (
        select(Delivery.reason)
        .where(Delivery.mailing_id == mailing.id, Delivery.state == DeliveryState.FAILED)
        .group_by(Delivery.reason)
        .order_by(func.count().desc(), Delivery.reason)
        .limit(1)
    )
    return f"most of them with: {session.scalar(query)}"
