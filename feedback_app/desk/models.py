"""The tables of owners, their passkeys, recovery codes and sessions."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.db.base import Base

HASH_BYTES = 32
# Bytes of a credential's identifier (Web Authentication, Level 2, section 4).
MAX_CREDENTIAL_ID_BYTES = 1023
MAX_PASSKEY_NAME_LENGTH = 64


class Owner(Base):
    """A person who runs the shop, with a user name in small letters.

    `password` is an Argon2 hash. `totp_secret`, from which the second factor's codes are made, is sealed for this row;
    `totp_counter` is the number of the last code, so that no code is accepted twice. A new `uniquifier` ends every
    session.
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
    """A passkey used as the second factor (Web Authentication, Level 2): its public key, and no secret.

    `credential_id` is the device's identifier of the passkey, `sign_count` its own count of uses, `transports` the ways
    a browser reaches it. `last_challenge` is the hash of the challenge answered last, so that no answer is accepted
    twice.
    """

    __tablename__ = "owner_passkeys"
    __table_args__ = (UniqueConstraint("owner_id", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(MAX_PASSKEY_NAME_LENGTH))
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(MAX_CREDENTIAL_ID_BYTES), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int] = mapped_column(BigInteger)
    last_challenge: Mapped[bytes | None] = mapped_column(LargeBinary(HASH_BYTES))
    transports: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class OwnerSession(Base):
    """A browser in which an owner is signed in. The browser holds the key, the store only its hash."""

    __tablename__ = "owner_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), index=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary(HASH_BYTES), unique=True)
    browser: Mapped[str] = mapped_column(String(100))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class RecoveryCode(Base):
    """The keyed hash of a code that replaces the second factor once."""

    __tablename__ = "owner_recovery_codes"

    code_hash: Mapped[bytes] = mapped_column(LargeBinary(HASH_BYTES), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("owners.id", ondelete="CASCADE"), index=True)
