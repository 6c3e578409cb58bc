"""Erasing a person: what identifies them goes, what only proves or counts stays without them."""

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
    """What becomes of an erased person's comments."""

    # The words stay, signed with nobody's name, so that the answers to them still make sense.
    NAMELESS = "nameless"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Erased:
    """What erasing did, in numbers."""

    choices: int
    comments: int
    deliveries: int


def erase_customer(
    session: Session, customer: Customer, *, now: datetime, comments: CommentsFate = CommentsFate.NAMELESS
) -> Erased:
    """Erase a customer: address, name, choices and the comments' identity.

    Deliveries stay in the ledger without a person, consent events in the record with nobody at their end, and a
    suppression keeps the address from coming back by an import.
    """
    chosen = frequencies(session, customer)
    # To the day: to the moment, the record's last line and the suppression would point at each other for good.
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    withdraw(session, customer, channel=ConsentChannel.ERASURE, now=day)
    mine = list(session.scalars(select(Comment).where(Comment.customer_id == customer.id)))
    seen = {comment.thread_id for comment in mine if comment.status is CommentStatus.APPROVED}
    for comment in mine:
        comment.author, comment.customer_id, comment.changed_at = NAMELESS_AUTHOR, None, now
        if comments is CommentsFate.DELETED:
            comment.status, comment.text, comment.html = CommentStatus.DELETED, "", ""
    # What the owner changed about them could be put back otherwise, name and all.
    forget_words(session, AuditLine.comment_id.in_([comment.id for comment in mine]))
    session.execute(update(Thread).where(Thread.id.in_(seen)).values(version=Thread.version + 1))
    deliveries = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.customer_id == customer.id))
    session.merge(Suppression(fingerprint=customer.fingerprint, reason=SuppressionReason.ERASED, at=now))
    session.flush()
    rows_changed(session, delete(TypedAddress).where(TypedAddress.fingerprint == customer.fingerprint))
    # The database cuts deliveries loose and takes choices and requests with the row (ON DELETE).
    rows_changed(session, delete(Customer).where(Customer.id == customer.id))
    return Erased(len(chosen), len(mine), deliveries or 0)
