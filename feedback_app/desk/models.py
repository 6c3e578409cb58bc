"""The tables of the owner: who signs in, with which passkeys and recovery codes, and where somebody is signed in."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.db.base import Base

HASH_BYTES = 32
# Web Authentication, Level 2, section 4: a credential's identifier has at most so many bytes.
LONGEST_CREDENTIAL_ID = 1023
LONGEST_PASSKEY_NAME = 64


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


class OwnerPasskey(Base):
    """A passkey that can be the second factor (Web Authentication, Level 2): its public key, and no secret.

    `credential_id` is how the owner's device knows it, `sign_count` how often it says that it was used, `transports`
    how a browser reaches it, `last_challenge` the hash of what it answered last, so that no answer is taken twice.
    """

    __tablename__ = "owner_passkeys"
    __table_args__ = (UniqueConstraint("owner_id", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(LONGEST_PASSKEY_NAME))
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(LONGEST_CREDENTIAL_ID), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    last_challenge: Mapped[bytes | None] = mapped_column(LargeBinary(HASH_BYTES))
    transports: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


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
