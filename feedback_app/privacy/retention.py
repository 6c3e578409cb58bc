"""Retention: data that is no longer needed is purged, and counted."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.audit_log import Act, AuditLine, forget_words
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.customers.models import AddressChange, Customer, Preference, TypedAddress, Undo
from feedback_app.customers.preferences import UNDO_FOR
from feedback_app.db.store import Store, rows_changed
from feedback_app.letter_queue import LetterRequest
from feedback_app.plurals import counted

UNCONFIRMED = timedelta(days=7)
REJECTED = timedelta(days=30)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Purged:
    """The counts of a purge."""

    unconfirmed: int
    letter_requests: int
    comments: int

    def __bool__(self) -> bool:
        """Whether anything was purged."""
        return bool(self.unconfirmed or self.letter_requests or self.comments)

    def __str__(self) -> str:
        """Return the counts in words."""
        return (
            f"{counted(self.unconfirmed, 'unconfirmed address', 'unconfirmed addresses')}, "
            f"{counted(self.letter_requests, 'request for a letter', 'requests for a letter')}, "
            f"{counted(self.comments, 'comment')} not approved"
        )


def purge(session: Session, *, now: datetime) -> Purged:
    """Purge requests left unconfirmed for 7 days, and comments that were rejected 30 days ago or more.

    An unconfirmed address is purged even if it came with a comment; the comment stays as it is shown.
    """
    # Letters to the owner have no customer: a NULL among them would make every NOT IN below unknown.
    asked_lately = select(LetterRequest.customer_id).where(
        LetterRequest.customer_id.is_not(None), LetterRequest.asked_at > now - UNCONFIRMED
    )
    chosen = select(Preference.customer_id)
    wrote_lately = select(Comment.customer_id).where(
        Comment.customer_id.is_not(None), Comment.created_at > now - UNCONFIRMED
    )
    unconfirmed = rows_changed(
        session,
        delete(Customer).where(
            Customer.confirmed_at.is_(None),
            Customer.created_at <= now - UNCONFIRMED,
            Customer.id.not_in(asked_lately),
            Customer.id.not_in(chosen),
            Customer.id.not_in(wrote_lately),
        ),
    )
    letter_requests = rows_changed(session, delete(LetterRequest).where(LetterRequest.asked_at <= now - UNCONFIRMED))
    forget_words(session, AuditLine.at <= now - REJECTED)
    # Choices that can no longer be undone are not needed; they are not counted either.
    session.execute(delete(Undo).where(Undo.at <= now - UNDO_FOR))
    session.execute(delete(AddressChange).where(AddressChange.asked_at <= now - UNCONFIRMED))
    session.execute(delete(TypedAddress).where(TypedAddress.at <= now - UNCONFIRMED))
    return Purged(unconfirmed, letter_requests, _purge_comments(session, now))


def purge_and_log(store: Store) -> None:
    """Purge, and log the counts if anything was purged."""
    with store.writing() as session:
        done = purge(session, now=clock.now())
    if done:
        log.info("Purged %s.", done)


def _purge_comments(session: Session, now: datetime) -> int:
    gone: Select[int] = select(Comment.id).where(
        Comment.status.in_((CommentStatus.REJECTED, CommentStatus.SPAM, CommentStatus.DELETED)),
        Comment.changed_at <= now - REJECTED,
    )
    # Their answers lose their parent, as pages show them already.
    session.execute(
        update(Comment).where(Comment.parent_id.in_(gone)).values(parent_id=None),
        execution_options={"synchronize_session": False},
    )
    # The spam checks' findings go with them; what the owner did stays in the log.
    session.execute(delete(AuditLine).where(AuditLine.act == Act.POSTED, AuditLine.comment_id.in_(gone)))
    return rows_changed(session, delete(Comment).where(Comment.id.in_(gone)))
