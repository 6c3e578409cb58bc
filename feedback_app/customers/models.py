"""The tables of customers: people, choices, address changes, typed addresses, consent events, suppressions."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base, word

FINGERPRINT = 32


class Frequency(StrEnum):
    """How often a customer wants a topic."""

    NEVER = "never"
    EACH = "each"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class NameDisplay(StrEnum):
    """How a customer is named in letters."""

    UNDISCLOSED = "undisclosed"
    FIRST = "first"
    FULL = "full"


class LetterFormat(StrEnum):
    """Whether a customer's letters have HTML or are plain text."""

    HTML = "html"
    TEXT = "text"


class ConsentAction(StrEnum):
    """What happened to a consent."""

    GIVEN = "given"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class ConsentChannel(StrEnum):
    """How a consent was given or withdrawn."""

    FORM = "form"
    IMPORT = "import"
    UNSUBSCRIBE_PAGE = "unsubscribe page"
    ONE_CLICK = "one-click"
    COMPLAINT = "complaint"
    OWNER = "owner"
    ERASURE = "erasure"
    RESTORE = "restore"
    SUBSCRIBE = "subscribe"


class SuppressionReason(StrEnum):
    """Why an address must not be written to."""

    ERASED = "erased"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OWNER = "owner"


class TypedFor(StrEnum):
    """Why an address was typed on the site."""

    PREFERENCES = "preferences"
    SUBSCRIBING = "subscribing"


class Customer(Base):
    """A person known by an address.

    `fingerprint` is the keyed hash of the normalised address; `address` and `name` are sealed for this row by it.
    `confirmed_at` is when the person proved that the address is theirs, or an import vouched for it; without it, the
    address was only typed. `link_series` goes up when the address changes: links in the old inbox belong to the series
    before, and no longer open this person's page. Numbers are never used again (AUTOINCREMENT), because consent events
    outlive the customer's row.
    """

    __tablename__ = "customers"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT), unique=True)
    address: Mapped[bytes] = mapped_column(LargeBinary)
    name: Mapped[bytes | None] = mapped_column(LargeBinary)
    name_display: Mapped[NameDisplay] = mapped_column(word(NameDisplay), default=NameDisplay.UNDISCLOSED)
    format: Mapped[LetterFormat] = mapped_column(word(LetterFormat), default=LetterFormat.HTML)
    pause_until: Mapped[date | None]
    language: Mapped[str | None] = mapped_column(String(20))
    link_series: Mapped[int] = mapped_column(server_default="0")
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class Preference(Base):
    """How often a customer wants letters about a topic, now. A missing row is a no."""

    __tablename__ = "preferences"
    __table_args__ = (Index(None, "topic", "frequency", "customer_id"),)

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    topic: Mapped[Topic] = mapped_column(word(Topic), primary_key=True)
    frequency: Mapped[Frequency] = mapped_column(word(Frequency))
    changed_at: Mapped[datetime]


class Undo(Base):
    """A customer's choices before the last save, kept while it can be undone. The name is sealed for this customer.

    `after` is the checksum of the choices that were saved. When it differs from the current one, the customer has
    chosen something else since.
    """

    __tablename__ = "undos"

    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime]
    choices: Mapped[str] = mapped_column(Text)
    name: Mapped[bytes | None] = mapped_column(LargeBinary)
    after: Mapped[str] = mapped_column(String(16))


class AddressChange(Base):
    """A change of address that a customer asked for. Each address is sealed by its own fingerprint.

    `old_said_at` and `new_said_at` are when the customer said yes from each address; with both, the change is made.
    """

    __tablename__ = "address_changes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), unique=True)
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT))
    address: Mapped[bytes] = mapped_column(LargeBinary)
    old_fingerprint: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT))
    old_address: Mapped[bytes] = mapped_column(LargeBinary)
    asked_at: Mapped[datetime]
    old_said_at: Mapped[datetime | None]
    new_said_at: Mapped[datetime | None]
    done_at: Mapped[datetime | None]


class TypedAddress(Base):
    """An address that was typed on the site, until the mailer has looked up its customer.

    The page does not look it up itself, so that its answer and its time tell nothing about the address. `wish` is the
    subscription that was asked for with it, as JSON.
    """

    __tablename__ = "typed_addresses"

    id: Mapped[int] = mapped_column(primary_key=True)
    what_for: Mapped[TypedFor] = mapped_column(word(TypedFor))
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT), index=True)
    address: Mapped[bytes] = mapped_column(LargeBinary)
    wish: Mapped[str | None] = mapped_column(String(200))
    at: Mapped[datetime]


class Wording(Base):
    """A text that customers agreed to, kept once, by its SHA-256."""

    __tablename__ = "wordings"

    hash: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT), primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class ConsentEvent(Base):
    """One line of the consent record. Lines are only added: the database itself refuses to change or delete one.

    `customer_id` is not a foreign key: when a customer is erased, their row goes and the line stays.
    """

    __tablename__ = "consent_events"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(index=True)
    topic: Mapped[Topic] = mapped_column(word(Topic))
    action: Mapped[ConsentAction] = mapped_column(word(ConsentAction))
    frequency: Mapped[Frequency] = mapped_column(word(Frequency))
    channel: Mapped[ConsentChannel] = mapped_column(word(ConsentChannel))
    evidence: Mapped[str | None] = mapped_column(Text)
    wording_hash: Mapped[bytes] = mapped_column(ForeignKey("wordings.hash"))
    at: Mapped[datetime]


class Suppression(Base):
    """The keyed hash of an address that must not be written to, kept even when the person is erased."""

    __tablename__ = "suppressions"

    fingerprint: Mapped[bytes] = mapped_column(LargeBinary(FINGERPRINT), primary_key=True)
    reason: Mapped[SuppressionReason] = mapped_column(word(SuppressionReason))
    at: Mapped[datetime]
