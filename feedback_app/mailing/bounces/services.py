"""Records what a report changes: a dead address and a complaint block the address, a soft bounce is counted.

Each report counts once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.customers.consent import withdraw
from feedback_app.customers.models import ConsentChannel, Customer, Suppression, SuppressionReason
from feedback_app.db.store import Store
from feedback_app.mailing.bounces.mailbox import read_messages
from feedback_app.mailing.bounces.parser import BounceReport, UnreadableReport, read_report
from feedback_app.mailing.models import Bounce, BounceKind, Delivery, DeliveryState
from feedback_app.mailing.return_addresses import ReturnAddresses

REASONS = {
    BounceKind.HARD: "it came back: the address does not take letters",
    BounceKind.SOFT: "it came back: not taken this time",
    BounceKind.COMPLAINT: "the reader called it spam",
}


@dataclass(frozen=True, slots=True)
class BounceCounts:
    """What was found in the messages of a mailbox, in numbers.

    `known` reports were recorded before. `others` are no reports about the shop's letters. `unreadable` messages hold
    to no standard.
    """

    hard: int = 0
    soft: int = 0
    complaints: int = 0
    suppressed: int = 0
    known: int = 0
    others: int = 0
    unreadable: int = 0


def process_mailboxes(
    store: Store, paths: Iterable[Path], returns: ReturnAddresses, *, tell: Callable[[int, int], None]
) -> BounceCounts:
    """Record every report in some mailboxes, each in a transaction of its own. Raises MailboxRefused.

    `tell` is told how many messages of a mailbox were read, and how many there are at least.
    """
    counts = BounceCounts()
    for path in paths:
        for number, message in enumerate(read_messages(path), 1):
            tell(number, number + 1)
            try:
                report = read_report(message, returns)
            except UnreadableReport:
                counts = replace(counts, unreadable=counts.unreadable + 1)
                continue
            counts = store.write(partial(_record, report, counts))
    return counts


def _record(report: BounceReport | None, counts: BounceCounts, session: Session) -> BounceCounts:
    return record_report(session, report, counts, now=clock.now())


def record_report(
    session: Session, report: BounceReport | None, counts: BounceCounts, *, now: datetime
) -> BounceCounts:
    """Record one message's report and return the counts with it. A report that is known already changes nothing."""
    row = _find_delivery(session, report) if report else None
    if report is None or row is None:
        return replace(counts, others=counts.others + 1)
    if session.scalar(select(Bounce.id).where(Bounce.digest == report.digest)) is not None:
        return replace(counts, known=counts.known + 1)
    session.add(Bounce(delivery_id=row.id, kind=report.kind, status=report.status, digest=report.digest, at=now))
    session.flush()
    row.reason = f"{REASONS[report.kind]} ({report.status})" if report.status else REASONS[report.kind]
    if row.state is DeliveryState.UNKNOWN:
        # A letter that came back has left.
        row.state = DeliveryState.ACCEPTED
    suppressed = False
    match report.kind:
        case BounceKind.HARD:
            suppressed = _suppress(session, row, SuppressionReason.BOUNCED, now)
            counts = replace(counts, hard=counts.hard + 1)
        case BounceKind.SOFT:
            counts = replace(counts, soft=counts.soft + 1)
        case BounceKind.COMPLAINT:
            suppressed = _suppress(session, row, SuppressionReason.COMPLAINED, now)
            if (customer := session.get(Customer, row.customer_id)) is not None:
                # Reporting one letter as spam is a no to all of them.
                withdraw(session, customer, channel=ConsentChannel.COMPLAINT, now=now)
            counts = replace(counts, complaints=counts.complaints + 1)
    return replace(counts, suppressed=counts.suppressed + suppressed)


def _find_delivery(session: Session, report: BounceReport) -> Delivery | None:
    return session.scalar(
        select(Delivery)
        .where(Delivery.mailing_id == report.letter.mailing_id, Delivery.customer_id == report.letter.customer_id)
        .with_for_update()
    )


def _suppress(session: Session, row: Delivery, reason: SuppressionReason, now: datetime) -> bool:
    """Suppress the address of a delivery's customer; return whether it was not suppressed before."""
    customer = session.get(Customer, row.customer_id, with_for_update=True)
    if customer is None or session.get(Suppression, customer.fingerprint) is not None:
        return False
    session.add(Suppression(fingerprint=customer.fingerprint, reason=reason, at=now))
    return True
