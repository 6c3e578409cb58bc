"""What a report changes: a dead address and a complaint bar it, a passing failure is counted. Each once.

Every function takes the session; the entry point commits.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.customers.consent import withdraw
from feedback_app.customers.models import ConsentChannel, Customer, Suppression, SuppressionReason
from feedback_app.mailing.bounces.parser import ReturnedReport
from feedback_app.mailing.models import Bounce, BounceKind, Delivery, DeliveryState

WORDS = {
    BounceKind.HARD: "it came back: the address does not take letters",
    BounceKind.SOFT: "it came back: not taken this time",
    BounceKind.COMPLAINT: "the reader called it spam",
}


@dataclass(frozen=True, slots=True)
class Processed:
    """What was found in the messages, in numbers.

    `others` were no reports about letters of the shop's; in the `unreadable` nothing could be made out.
    """

    hard: int = 0
    soft: int = 0
    complaints: int = 0
    suppressed: int = 0
    known: int = 0
    others: int = 0
    unreadable: int = 0


def note(session: Session, report: ReturnedReport | None, so_far: Processed, *, now: datetime) -> Processed:
    """Act on one message's report; returns the numbers with it. One that was noted before changes nothing."""
    row = _delivery(session, report) if report else None
    if report is None or row is None:
        return replace(so_far, others=so_far.others + 1)
    if session.scalar(select(Bounce.id).where(Bounce.digest == report.digest)) is not None:
        return replace(so_far, known=so_far.known + 1)
    session.add(Bounce(delivery_id=row.id, kind=report.kind, status=report.status, digest=report.digest, at=now))
    session.flush()
    row.reason = f"{WORDS[report.kind]} ({report.status})" if report.status else WORDS[report.kind]
    if row.state is DeliveryState.UNKNOWN:
        # What comes back has left.
        row.state = DeliveryState.ACCEPTED
    barred = False
    match report.kind:
        case BounceKind.HARD:
            barred = _suppress(session, row, SuppressionReason.BOUNCED, now)
            so_far = replace(so_far, hard=so_far.hard + 1)
        case BounceKind.SOFT:
            so_far = replace(so_far, soft=so_far.soft + 1)
        case BounceKind.COMPLAINT:
            barred = _suppress(session, row, SuppressionReason.COMPLAINED, now)
            if (customer := session.get(Customer, row.customer_id)) is not None:
                # Reporting one letter as spam is a no to all of them.
                withdraw(session, customer, channel=ConsentChannel.COMPLAINT, now=now)
            so_far = replace(so_far, complaints=so_far.complaints + 1)
    return replace(so_far, suppressed=so_far.suppressed + barred)


def _delivery(session: Session, report: ReturnedReport) -> Delivery | None:
    return session.scalar(
        select(Delivery)
        .where(Delivery.mailing_id == report.sent.mailing_id, Delivery.customer_id == report.sent.customer_id)
        .with_for_update()
    )


def _suppress(session: Session, row: Delivery, reason: SuppressionReason, now: datetime) -> bool:
    """Bar the address of a delivery's customer; returns whether it was not barred before."""
    customer = session.get(Customer, row.customer_id, with_for_update=True)
    if customer is None or session.get(Suppression, customer.fingerprint) is not None:
        return False
    session.add(Suppression(fingerprint=customer.fingerprint, reason=reason, at=now))
    return True
