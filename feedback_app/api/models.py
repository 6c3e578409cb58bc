"""The table of API keys."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from feedback_app.db.base import Base


class Scope(StrEnum):
    """What a key may be used for."""

    MAY_WRITE_TO = "may-write-to"
    AUDIENCE = "audience"


class ApiKey(Base):
    """A program's key. Only its hash is stored; `start` are its first letters, by which the owner recognises it."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    key_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    start: Mapped[str] = mapped_column(String(12))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
