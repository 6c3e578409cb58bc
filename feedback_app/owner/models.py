"""The tables of the owner: who signs in, where somebody is signed in, recovery codes."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.db import Base

HASH_BYTES = 32


class Owner(Base):
    """Somebody who runs the shop, known by a user name in small letters.

    `password` is Argon2's hash. `totp_secret`, from which the second factor's codes are made, is sealed for this row;
    `totp_counter` is the last code's number, so that no code is taken twice. A new `uniquifier` ends every session.
    """

    __tablename__ = "owners"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    password: Mapped[str] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True)
    uniquifier: Mapped[str] = mapped_column(String(64), unique=True)
    totp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_counter: Mapped[int | None] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    created_at: Mapped[datetime]


class OwnerSession(Base):
    """A browser in which an owner is signed in. It holds the key, the store only the key's hash."""

    __tablename__ = "owner_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), index=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary(HASH_BYTES), unique=True)
    browser: Mapped[str] = mapped_column(String(100))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class RecoveryCode(Base):
    """The keyed hash of a code that stands in for the second factor, once."""

    __tablename__ = "owner_recovery_codes"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary(HASH_BYTES), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), index=True)
