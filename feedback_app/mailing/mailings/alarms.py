"""What needs a person: mailings that are halted and letters in doubt, now, or since a worker's run began."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState
from feedback_app.plurals import counted

NOT_ACCEPTED = (DeliveryState.FAILED, DeliveryState.DEFERRED, DeliveryState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class NeedsAttention:
    """Which mailings are halted and why, and how many letters of which are in doubt, by their slugs."""

    halted: dict[str, str]
    doubtful: dict[str, int]


def standing(session: Session) -> NeedsAttention:
    """What needs a person at this moment."""
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


def since(before: NeedsAttention, after: NeedsAttention) -> str | None:
    """What has come to need a person meanwhile, in one line; None where nothing has."""
    said = [
        f"{slug} was halted: {reason} (undisclosed mail status {slug})"
        for slug, reason in after.halted.items()
        if slug not in before.halted
    ]
    for slug, number in after.doubtful.items():
        if (more := number - before.doubtful.get(slug, 0)) > 0:
            said.append(f"{in_doubt(slug, more)} (undisclosed mail resolve {slug})")
    return "; ".join(said) or None


def in_doubt(slug: str, number: int) -> str:
    """`2 letters of free-socks are in doubt`."""
    return f"{counted(number, 'letter')} of {slug} {'is' if number == 1 else 'are'} in doubt"


def most_said(session: Session, *, since: datetime) -> str | None:
    """What was noted most often at letters that were tried since a moment and not accepted; never an address."""
    # What no server was asked to take has been deferred all the same; what waits for its turn has not.
    tried = or_(Delivery.attempts > 0, Delivery.deferred_since.is_not(None))
    at_hand = or_(Mailing.state.in_((MailingState.SENDING, MailingState.HALTED)), Mailing.ended_at >= since)
    query = (
        select(Delivery.reason)
        .join(Mailing, Mailing.id == Delivery.mailing_id)
        .where(at_hand, Delivery.state.in_(NOT_ACCEPTED), Delivery.changed_at >= since, tried)
        .group_by(Delivery.reason)
        .order_by(func.count().desc(), Delivery.reason)
        .limit(1)
    )
    return session.scalar(query)
