"""Making, finding and revoking API keys. The entry point commits."""

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.api.models import ApiKey, Scope
from feedback_app.audit_log import Act, note

PREFIX = "undisclosed_"
KEY_BYTES = 32
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# The time of the last use is written at most this often: it is only for people to look at.
USED_EVERY = timedelta(hours=1)


class KeyRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A key can't be made or revoked like this; the message is one line that says why."""


def make_key(session: Session, name: str, scopes: Collection[Scope], *, who: str, now: datetime) -> str:
    """Make a key for a program and return it: it cannot be read again. Raises KeyRefused."""
    if not NAME.fullmatch(name):
        message = "a key's name has small letters, digits, dots and dashes, 64 at most: newsletter-tool"
        raise KeyRefused(message)
    if session.scalar(select(ApiKey.id).where(ApiKey.name == name)) is not None:
        message = f"there is, or was, a key {name} already: give the new one a name of its own"
        raise KeyRefused(message)
    secret = secrets.token_urlsafe(KEY_BYTES)
    key = f"{PREFIX}{secret}"
    scope_names = sorted(scope.value for scope in set(scopes))
    session.add(ApiKey(name=name, key_hash=_hash(key), start=secret[:6], scopes=scope_names, created_at=now))
    note(session, who, Act.KEY_MADE, f"{name}: {', '.join(scope_names)}", now=now)
    return key


def find_key(session: Session, key: str) -> ApiKey | None:
    """Return a key's row, or None when there is no such key or it was revoked."""
    row = session.scalar(select(ApiKey).where(ApiKey.key_hash == _hash(key)))
    return None if row is None or row.revoked_at is not None else row


def revoke_key(session: Session, name: str, *, who: str, now: datetime) -> None:
    """Revoke a key. Raises KeyRefused."""
    row = session.scalar(select(ApiKey).where(ApiKey.name == name).with_for_update())
    if row is None:
        message = f"there is no key {name[:64]!r}: `undisclosed keys list` says which there are"
        raise KeyRefused(message)
    if row.revoked_at is not None:
        message = f"{name} was revoked on {row.revoked_at:%Y-%m-%d} already"
        raise KeyRefused(message)
    row.revoked_at = now
    note(session, who, Act.KEY_REVOKED, name, now=now)


def list_keys(session: Session) -> list[ApiKey]:
    """Return all keys, also revoked ones, oldest first."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))


def is_use_worth_noting(key: ApiKey, *, now: datetime) -> bool:
    """Return whether a use now should be written to the key's row."""
    return key.used_at is None or now - key.used_at >= USED_EVERY


def _hash(key: str) -> bytes:
    # A key has 256 random bits: it cannot be guessed, so its hash need not be slow.
    return hashlib.sha256(key.encode()).digest()
