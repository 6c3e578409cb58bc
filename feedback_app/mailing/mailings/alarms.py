"""Alarms: halted mailings and letters in doubt, which need a person, now or since a worker's run began."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState
from feedback_app.plurals import counted

NOT_ACCEPTED = (DeliveryState.FAILED, DeliveryState.DEFERRED, DeliveryState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class NeedsAttention:
    """The reasons of halted mailings, and the numbers of letters in doubt, by slug."""

    halted: dict[str, str]
    doubtful: dict[str, int]


def needs_attention(session: Session) -> NeedsAttention:
    """Return what needs a person at this moment."""
    halted = select(Mailing.slug, Mailing.reason).where(Mailing.state == MailingState.HALTED).order_by(Mailing.id)
    doubtful = (
        select(Mailing.slug, func.count())
        .join(Delivery, Delivery.mailing_id == Mailing.id)
        .where(Delivery.state == DeliveryState.UNKNOWN)
        .group_by(Mailing.slug)
        .order_by(Mailing.slug)
    )
    return NeedsAttention(
        {slug: reason or "why was not noted" for slug, reason in session.execute(halted)},
        {slug: number for slug, number in session.execute(doubtful)},  # noqa: C416 - rows, which `dict` is not typed for
    )


def new_alarms(before: NeedsAttention, after: NeedsAttention) -> str | None:
    """Return in one line what has come to need a person between two moments; None if nothing has."""
    alarms = [
        f"{slug} was halted: {reason} (undisclosed mail status {slug})"
        for slug, reason in after.halted.items()
        if slug not in before.halted
    ]
    for slug, number in after.doubtful.items():
        if (more := number - before.doubtful.get(slug, 0)) > 0:
            alarms.append(f"{in_doubt(slug, more)} (undisclosed mail resolve {slug})")
    return "; ".join(alarms) or None


def in_doubt(slug: str, number: int) -> str:
    """Return `2 letters of free-socks are in doubt`, for these numbers."""
    return f"{counted(number, 'letter')} of {slug} {'is' if number == 1 else 'are'} in doubt"


def commonest_reason(session: Session, *, since: datetime) -> str | None:
    """Return the commonest reason of letters that were tried since then and not accepted; it has no address in it."""
    # A letter without a connection counts too: no attempt, but a first deferral. One that waits for its domain's rate
    # has neither.
    tried = or_(Delivery.attempts > 0, Delivery.deferred_since.is_not(None))
    is_current = or_(Mailing.state.in_((MailingState.SENDING, MailingState.HALTED)), Mailing.ended_at >= since)
    query = (
        select(Delivery.reason)
        .join(Mailing, Mailing.id == Delivery.mailing_id)
        .where(is_current, Delivery.state.in_(NOT_ACCEPTED), Delivery.changed_at >= since, tried)
        .group_by(Delivery.reason)
        .order_by(func.count().desc(), Delivery.reason)
        .limit(1)
    )
    return session.scalar(query)
