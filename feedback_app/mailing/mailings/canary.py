"""The canary: the owner's copy leaves first, then a few letters; if too many of these are refused, the rest stays."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.orm import Session

from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState

# The canary is one letter in a hundred, and at least five.
ONE_IN = 100
SMALLEST = 5
# A mailing waits no longer than this for the owner's copy to be accepted: a full mailbox there must not stop the
# customers' letters. A mailing that started in the future does not wait at all: the clock was put back.
COPY_PATIENCE = timedelta(minutes=30)

_WAITS_FOR_COPY = (
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
    .label("waits_for_copy")
)
_MAILING = select(Mailing.state, Mailing.canary, _WAITS_FOR_COPY).where(Mailing.id == bindparam("mailing_id"))


def canary_of(total: int) -> int:
    """Return how many of a mailing's letters go first; 0 where the mailing is too small to keep any back."""
    canary = max(SMALLEST, -(-total // ONE_IN))
    return canary if canary < total else 0


def allowance(session: Session, mailing_id: int, *, limit: int, halt_share: float, now: datetime) -> int:
    """Return how many letters of a mailing may be claimed now, up to `limit`.

    None may be claimed before the owner has got the copy. The canary, the first hundredth and at least five letters,
    goes ahead: no other letter may be claimed until all of these are answered. If more than `halt_share` of them were
    refused, the mailing is halted with everything that has not left.
    """
    values = {"mailing_id": mailing_id, "now": now, "since": now - COPY_PATIENCE}
    state, canary, waits = session.execute(_MAILING, values).one()
    if state is not MailingState.SENDING:
        return limit
    if waits:
        return 0
    if not canary:
        return limit
    # Locked, so that one worker at a time counts: two would let twice as many go.
    mailing = session.scalars(
        select(Mailing).where(Mailing.id == mailing_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    refused = _count(session, mailing, [DeliveryState.FAILED])
    # "Try again later" is an answer, but no refusal.
    deferred = _count(session, mailing, [DeliveryState.DEFERRED], Delivery.attempts > 0)
    answered = refused + deferred + _count(session, mailing, [DeliveryState.ACCEPTED, DeliveryState.UNKNOWN])
    if refused > halt_share * mailing.canary:
        reason = f"{refused} of the first {answered} letters were refused; {_commonest_refusal(session, mailing)}"
        # An owner who resumes the mailing has seen the refusals: the same ones must not halt it again.
        mailing.canary, mailing.state, mailing.reason = 0, MailingState.HALTED, reason
        queue_letter(session, LetterKind.MAILING_HALTED, None, now=now, about=mailing_id)
        return 0
    if answered >= mailing.canary:
        mailing.canary = 0
        return limit
    in_flight = _count(session, mailing, [DeliveryState.SUBMITTING])
    return max(0, min(limit, mailing.canary - answered - in_flight))


def waits_for_copy(session: Session, mailing: Mailing, *, now: datetime) -> bool:
    """Return whether a mailing waits for the owner's copy to be accepted."""
    values = {"mailing_id": mailing.id, "now": now, "since": now - COPY_PATIENCE}
    found = session.execute(_MAILING, values).one()
    return found.state is MailingState.SENDING and bool(found.waits_for_copy)


def _count(
    session: Session, mailing: Mailing, states: Collection[DeliveryState], *conditions: ColumnElement[bool]
) -> int:
    """Return how many of a mailing's deliveries are in one of these states and meet the conditions."""
    query = select(func.count()).where(Delivery.mailing_id == mailing.id, Delivery.state.in_(states), *conditions)
    return session.scalar(query) or 0


def _commonest_refusal(session: Session, mailing: Mailing) -> str:
    query = (
        select(Delivery.reason)
        .where(Delivery.mailing_id == mailing.id, Delivery.state == DeliveryState.FAILED)
        .group_by(Delivery.reason)
        .order_by(func.count().desc(), Delivery.reason)
        .limit(1)
    )
    return f"most of them with: {session.scalar(query)}"
