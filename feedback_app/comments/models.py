"""The tables of comments: thread, comment, following, notice, and the confirmations that were asked for."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.customers.models import FINGERPRINT
from feedback_app.db.base import Base, few, word

FORM_HASH = 32
REPEAT_HASH = 16
FOREIGN_HASH = 32


class CommentStatus(StrEnum):
    """Where a comment stands. Only `approved` is ever shown."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    SPAM = "spam"
    DELETED = "deleted"


# What can still be changed by the one who wrote it; the rest was turned down, or taken back.
CHANGEABLE = (CommentStatus.PENDING, CommentStatus.APPROVED)


class Closing(StrEnum):
    """What decides whether a post takes new comments."""

    # Its age, where the shop has set one.
    BY_AGE = "by age"
    # The owner, by hand.
    CLOSED = "closed"
    OPEN = "open"


class Thread(Base):
    """All comments of one post, known by the post's path (`/2007/10/opps.html`).

    A build registers every post it publishes; `open` is whether it is published now. From `closed_at` on it takes no
    new comments and shows those it has; `closing` says what decided that. `version` grows with every change that a
    reader could see, so that whoever keeps a site follows the store by asking which threads are newer than what it
    shows. `source` is the post's file, by which a post that was renamed or redated is known again.
    """

    __tablename__ = "threads"
    __table_args__ = (Index(None, "published_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(500), unique=True)
    title: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime]
    open: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=0)
    closed_at: Mapped[datetime | None]
    closing: Mapped[Closing] = mapped_column(word(Closing), default=Closing.BY_AGE)
    source: Mapped[str | None] = mapped_column(String(500))


class FormerPath(Base):
    """An address at which a post was published before; it leads to where the post is now."""

    __tablename__ = "former_paths"

    path: Mapped[str] = mapped_column(String(500), primary_key=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id"), index=True)


class Comment(Base):
    """A reader's comment. `author` is what the person typed and all that is ever shown of them.

    `html` is the cleaned rendering of `text`, made by the rules of version `rules`. `reasons` say, in words for the
    owner, why it waited (or what was noticed about it). `edited_at` is when the words were last changed, by whoever
    wrote them or (`edited_by_owner`) by the shop. `owner_told_at` is when the owner was last told that it waits.
    `form_hash` recognises the same form sent twice, `repeat_hash` the same words said again, `foreign_hash` a comment
    that came from another system.
    """

    __tablename__ = "comments"
    # What few comments have is in no index for the others: each is a page more that is written before an answer.
    __table_args__ = (
        Index(None, "thread_id", "status", "created_at"),
        Index(None, "status", "created_at"),
        Index(None, "created_at"),
        Index(None, "form_hash", unique=True),
        Index(None, "repeat_hash", "created_at"),
        few("foreign_hash", unique=True),
        few("customer_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id"))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("comments.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id", ondelete="SET NULL"))
    author: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text)
    rules: Mapped[int]
    status: Mapped[CommentStatus] = mapped_column(word(CommentStatus), default=CommentStatus.PENDING)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    edited_at: Mapped[datetime | None]
    edited_by_owner: Mapped[bool] = mapped_column(default=False)
    by_owner: Mapped[bool] = mapped_column(default=False)
    owner_told_at: Mapped[datetime | None]
    reasons: Mapped[list[str]] = mapped_column(JSON, default=list)
    form_hash: Mapped[bytes | None] = mapped_column(LargeBinary(FORM_HASH))
    repeat_hash: Mapped[bytes | None] = mapped_column(LargeBinary(REPEAT_HASH))
    foreign_hash: Mapped[bytes | None] = mapped_column(LargeBinary(FOREIGN_HASH))

    @property
    def taken_back(self) -> bool:
        """Whether its author took it back: its words are gone for good. What the shop deletes keeps its words."""
        return self.status is CommentStatus.DELETED and not self.text


class ShownComment(NamedTuple):
    """What readers see of a comment: a row of a hundred thousand, made in no time."""

    id: int
    parent_id: int | None
    author: str
    html: str
    by_owner: bool
    created_at: datetime
    changed_at: datetime
    edited_at: datetime | None
    edited_by_owner: bool


class Following(Base):
    """A person who wants to be told about answers to their comments in a thread.

    Asked for by whoever typed the address; nobody is told anything before it is confirmed, nor once it is stopped.
    """

    __tablename__ = "followings"
    __table_args__ = (UniqueConstraint("thread_id", "customer_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    thread_id: Mapped[int] = mapped_column(ForeignKey("threads.id"))
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    asked_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]


class Notice(Base):
    """An answer that somebody is to be told about, or has been."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("following_id", "comment_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    following_id: Mapped[int] = mapped_column(ForeignKey("followings.id", ondelete="CASCADE"))
    comment_id: Mapped[int] = mapped_column(ForeignKey("comments.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    told_at: Mapped[datetime | None] = mapped_column(index=True)


class ConfirmationAsked(Base):
    """The keyed hash of an address that was sent a confirmation which nobody has answered: it gets no other one."""

    __tablename__ = "confirmations_asked"

    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT), primary_key=True)
    at: Mapped[datetime]
