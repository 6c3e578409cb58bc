"""The tables of comments: thread and comment."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.db import Base, word


class CommentStatus(StrEnum):
    """Where a comment stands. Only `approved` is ever shown."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    SPAM = "spam"
    DELETED = "deleted"


class Thread(Base):
    """All comments of one post, known by the post's path (`/2007/10/opps.html`).

    A build registers every post it publishes. `version` grows with every change that a reader could see, so that
    whoever keeps a site follows the store by asking which threads are newer than what it shows.
    """

    __tablename__ = "threads"

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(500), unique=True)
    title: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime]
    open: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=0)


class Comment(Base):
    """A reader's comment. `author` is what the person typed and all that is ever shown of them.

    `html` is the cleaned rendering of `text`, made by the rules of version `rules`.
    """

    __tablename__ = "comments"
    __table_args__ = (
        Index(None, "thread_id", "status", "created_at"),
        Index(None, "status", "created_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("comments.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id", ondelete="SET NULL"), index=True)
    author: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text)
    rules: Mapped[int]
    status: Mapped[CommentStatus] = mapped_column(word(CommentStatus), default=CommentStatus.PENDING)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
