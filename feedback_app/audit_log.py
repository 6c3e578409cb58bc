"""The audit log: who did what, and when, in a line each; the place to look when something is not as it was."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ColumnElement, Index, String, or_, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from feedback_app.db.base import Base, few, word

COMMAND = "command line"
# Nobody is named here who is not an owner.
READER = "a reader"
MOST_LINES = 200
# Lines that hold words, for their index; whoever asks for them says it with the same columns, in the same order.
_HOLDS_WORDS = text("before IS NOT NULL OR after IS NOT NULL")


class Act(StrEnum):
    """What somebody did."""

    OWNER_CREATED = "owner created"
    SIGNED_IN = "signed in"
    SIGNED_OUT = "signed out"
    SIGN_IN_FAILED = "sign-in failed"
    SESSION_ENDED = "session ended"
    PASSWORD_CHANGED = "password changed"  # noqa: S105 - a word for the log
    FACTOR_SET = "factor set"
    PASSKEY_ADDED = "passkey added"
    PASSKEY_REMOVED = "passkey removed"
    RECOVERY_CODES = "recovery codes"
    RECOVERY_USED = "recovery used"
    DECIDED = "decided"
    EDITED = "edited"
    ANSWERED = "answered"
    CLOSED = "closed"
    OPENED = "opened"
    UNDONE = "undone"
    POSTED = "posted"
    CHANGED = "changed"
    TAKEN_BACK = "taken back"
    IMPORTED = "imported"
    EXPORTED = "exported"
    ADDRESS_SHOWN = "address shown"
    KEY_MADE = "key made"
    KEY_REVOKED = "key revoked"


class AuditLine(Base):
    """One line. `before` and `after` hold what an undo needs; `batch` ties together what one press did.

    `comment_id` and `thread_id` are numbers, not references: a line outlives what it is about, its words don't.

    No address and no secret is ever in it: what stands here is read by eyes and copied into backups.
    """

    __tablename__ = "audit_lines"
    __table_args__ = (
        few("batch"),
        few("at", where=_HOLDS_WORDS),
        Index(None, "comment_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str] = mapped_column(String(64))
    act: Mapped[Act] = mapped_column(word(Act))
    about: Mapped[str] = mapped_column(String(500))
    batch: Mapped[str | None] = mapped_column(String(32))
    comment_id: Mapped[int | None]
    thread_id: Mapped[int | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def new_batch() -> str:
    """A name for what one press does, that no other has and nobody can guess."""
    return secrets.token_hex(16)


def note(
    session: Session,
    who: str,
    act: Act,
    about: str = "",
    *,
    now: datetime,
    batch: str | None = None,
    comment_id: int | None = None,
    thread_id: int | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditLine:
    """Add a line, in the transaction of what it tells about: neither is kept without the other."""
    line = AuditLine(
        at=now,
        who=who,
        act=act,
        about=about[:500],
        batch=batch,
        comment_id=comment_id,
        thread_id=thread_id,
        before=before,
        after=after,
    )
    session.add(line)
    return line


def lines_of(session: Session, batch: str) -> list[AuditLine]:
    """What one press did, the last line first: that is how it is undone."""
    return list(session.scalars(select(AuditLine).where(AuditLine.batch == batch).order_by(AuditLine.id.desc())))


def lines_about(session: Session, comment: int) -> list[AuditLine]:
    """What was done to a comment, the newest first."""
    return list(session.scalars(select(AuditLine).where(AuditLine.comment_id == comment).order_by(AuditLine.id.desc())))


def forget_words(session: Session, *which: ColumnElement[bool]) -> None:
    """Let go of what an undo would need: words that are to be gone must not stand here either."""
    values = {"before": None, "after": None}
    statement = update(AuditLine).where(or_(AuditLine.before.is_not(None), AuditLine.after.is_not(None)), *which)
    session.execute(statement.values(values), execution_options={"synchronize_session": "fetch"})


def newest_lines(session: Session, *, before: int | None = None, most: int = MOST_LINES) -> list[AuditLine]:
    """The newest lines, or the newest of those older than line `before`.

    What readers post is left out, it would hide the rest: it stands with each comment.
    """
    query = select(AuditLine).where(AuditLine.act != Act.POSTED).order_by(AuditLine.id.desc()).limit(most)
    return list(session.scalars(query.where(AuditLine.id < before) if before else query))
