"""Erasing a customer: what identifies them is deleted; what only proves or counts stays, without them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from feedback_app.audit_log import AuditLine, forget_words
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.customers.consent import frequencies, withdraw
from feedback_app.customers.models import (
    ConsentChannel,
    Customer,
    Suppression,
    SuppressionReason,
    TypedAddress,
)
from feedback_app.db.store import rows_changed
from feedback_app.mailing.models import Delivery

NAMELESS_AUTHOR = "undisclosed"


class CommentsFate(StrEnum):
    """What happens to an erased customer's comments."""

    # The text stays without the name, so that the answers to it still make sense.
    NAMELESS = "nameless"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Erased:
    """The counts of an erasure."""

    choices: int
    comments: int
    deliveries: int


def erase_customer(
    session: Session, customer: Customer, *, now: datetime, comments: CommentsFate = CommentsFate.NAMELESS
) -> Erased:
    """Erase a customer: their address, name and choices, and who wrote their comments.

    Deliveries stay in the ledger and consent events in the record, without the customer. A suppression keeps an import
    from bringing the address back.
    """
    chosen = frequencies(session, customer)
    # Only the day: an exact time in the record's last line and in the suppression would link the two for good.
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    withdraw(session, customer, channel=ConsentChannel.ERASURE, now=day)
    mine = list(session.scalars(select(Comment).where(Comment.customer_id == customer.id)))
    seen = {comment.thread_id for comment in mine if comment.status is CommentStatus.APPROVED}
    for comment in mine:
        comment.author, comment.customer_id, comment.changed_at = NAMELESS_AUTHOR, None, now
        if comments is CommentsFate.DELETED:
            comment.status, comment.text, comment.html = CommentStatus.DELETED, "", ""
    # Otherwise an undo of the owner's changes could bring back the words and the name.
    forget_words(session, AuditLine.comment_id.in_([comment.id for comment in mine]))
    session.execute(update(Thread).where(Thread.id.in_(seen)).values(version=Thread.version + 1))
    deliveries = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.customer_id == customer.id))
    session.merge(Suppression(fingerprint=customer.fingerprint, reason=SuppressionReason.ERASED, at=now))
    session.flush()
    rows_changed(session, delete(TypedAddress).where(TypedAddress.fingerprint == customer.fingerprint))
    # The database keeps deliveries without the customer and deletes choices and requests with the row (ON DELETE).
    rows_changed(session, delete(Customer).where(Customer.id == customer.id))
    return Erased(len(chosen), len(mine), deliveries or 0)
