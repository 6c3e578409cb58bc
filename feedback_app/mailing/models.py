"""The mailer's tables: mailings, deliveries, bounces, and what is put off for a digest."""

from datetime import datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Table, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.customers.models import Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base, few, word


class MailingState(StrEnum):
    """The life of a mailing: draft → held → sending → sent, or cancelled, or halted (which `resume` continues)."""

    DRAFT = "draft"
    HELD = "held"
    SENDING = "sending"
    SENT = "sent"
    CANCELLED = "cancelled"
    HALTED = "halted"


class DeliveryState(StrEnum):
    """The life of a delivery: queued → submitting → accepted, deferred (tried again later), failed or unknown.

    `skipped` has a reason: the customer said no, say, between the freezing of the audience and the sending.
    """

    QUEUED = "queued"
    SUBMITTING = "submitting"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


class BounceKind(StrEnum):
    """The kinds of report about a letter that the next server had accepted."""

    # The address does not exist, or no longer.
    HARD = "hard"
    # The mailbox is full, or the server could not take it at the time.
    SOFT = "soft"
    # The reader marked it as spam.
    COMPLAINT = "complaint"


# The customer has the letter, or may have it.
LEFT_STATES = (DeliveryState.SUBMITTING, DeliveryState.ACCEPTED, DeliveryState.UNKNOWN)
# The delivery is not over.
OPEN_STATES = (DeliveryState.QUEUED, DeliveryState.SUBMITTING, DeliveryState.DEFERRED)


# Written out, not with a parameter: a database uses a partial index only where the statement repeats its condition.
IS_DEFERRED = text("state = 'deferred'")


class Mailing(Base):
    """One text to many customers, frozen when it was sent off. `due_at` is the end of its hold.

    `canary` is how many letters go first and have to be answered before the rest; 0 when that is over.
    `digest` is the frequency of a digest, whose letters are made of what was put off; None for any other mailing.
    """

    __tablename__ = "mailings"
    __table_args__ = (Index(None, "state", "due_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(100), unique=True)
    topic: Mapped[Topic] = mapped_column(word(Topic))
    subject: Mapped[str] = mapped_column(Text)
    nameless: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    digest: Mapped[Frequency | None] = mapped_column(word(Frequency))
    state: Mapped[MailingState] = mapped_column(word(MailingState))
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str | None] = mapped_column(Text)
    canary: Mapped[int] = mapped_column(default=0, server_default="0")


class Delivery(Base):
    """The ledger's row for one mailing and one customer; kept without its customer when the customer is erased."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("mailing_id", "customer_id"),
        # Queued rows by id, and deferred rows by time: the next few are found without sorting.
        Index(None, "mailing_id", "state", "id"),
        few("mailing_id", "next_try_at", where=IS_DEFERRED),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    mailing_id: Mapped[int] = mapped_column(ForeignKey("mailings.id"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customers.id", ondelete="SET NULL"), index=True)
    state: Mapped[DeliveryState] = mapped_column(word(DeliveryState), default=DeliveryState.QUEUED)
    reason: Mapped[str | None] = mapped_column(Text)
    message_id: Mapped[str | None] = mapped_column(String(200))
    attempts: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None] = mapped_column(String(32))
    next_try_at: Mapped[datetime | None]
    # When a server deferred it for the first time; it is tried for two days from then on.
    deferred_since: Mapped[datetime | None]
    changed_at: Mapped[datetime]


class Bounce(Base):
    """A report about a letter, kept once: `digest` is the hash of the message, of whose text nothing is kept."""

    __tablename__ = "bounces"

    id: Mapped[int] = mapped_column(primary_key=True)
    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"), index=True)
    kind: Mapped[BounceKind] = mapped_column(word(BounceKind))
    status: Mapped[str | None] = mapped_column(String(20))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    at: Mapped[datetime]


class DigestItem(Base):
    """A delivery that was put off for a digest; `digest_id` is the digest's mailing, once there is one."""

    __tablename__ = "digest_items"

    delivery_id: Mapped[int] = mapped_column(ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True)
    put_off_at: Mapped[datetime]
    digest_id: Mapped[int | None] = mapped_column(ForeignKey("mailings.id"), index=True)


# The table itself, for Core statements.
DELIVERIES = cast("Table", Delivery.__table__)
