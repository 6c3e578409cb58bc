"""The queue of single letters: links that customers asked for, confirmations, notices to the owner.

Any part of the program queues such a letter in its own transaction; the mailer makes and sends it.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from feedback_app.db.base import Base, word


class LetterKind(StrEnum):
    """What a single letter is for. `mailing/letters/kinds.py` names the function that makes each."""

    PREFERENCES_LINK = "preferences link"
    MAILING_COPY = "mailing copy"
    MAILING_HALTED = "mailing halted"
    CONFIRM_ANSWERS = "confirm answers"
    ANSWERS = "answers"
    OWN_COMMENTS = "own comments"
    SIGN_IN_NOTICE = "sign-in notice"
    COMMENT_WAITS = "comment waits"
    COMMENTS_WAIT = "comments wait"
    CONFIRM_SUBSCRIPTION = "confirm subscription"
    CHANGE_OLD = "change: old address"
    CHANGE_NEW = "change: new address"
    ADDRESS_CHANGED = "address changed"


class NotWanted(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The letter is no longer needed; the message says why, in a few words and without an address."""


class LetterRequest(Base):
    """A queued letter to a customer; without a customer, to the owner.

    `about` is the id of what the letter is about (by its kind: a comment, a mailing); `details` is what else is needed
    to make it, never an address or a name in the open. `sent_at` is when a mail server accepted the letter, `gave_up`
    is why it will never be sent.
    """

    __tablename__ = "letter_requests"
    __table_args__ = (Index(None, "kind", "about"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[LetterKind] = mapped_column(word(LetterKind))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    about: Mapped[int | None]
    details: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    gave_up: Mapped[str | None] = mapped_column(String(200))


def queue_letter(
    session: Session,
    kind: LetterKind,
    customer_id: int | None,
    *,
    now: datetime,
    about: int | None = None,
    details: str | None = None,
    due_at: datetime | None = None,
) -> LetterRequest:
    """Queue a letter, to be sent now or at `due_at`; without a customer it goes to the owner."""
    request = LetterRequest(
        kind=kind, customer_id=customer_id, about=about, details=details, asked_at=now, next_try_at=due_at or now
    )
    session.add(request)
    return request
