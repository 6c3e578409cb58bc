"""Making, finding and revoking keys. Every function takes the session; the entry point commits."""

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
SHOWN = len(PREFIX)
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# When a key was last used is for people to look at: not worth a write for every question.
USED_EVERY = timedelta(hours=1)


class KeyRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A key can't be made or revoked like this; one line that says why."""


def make_key(session: Session, name: str, scopes: Collection[Scope], *, who: str, now: datetime) -> str:
    """Make a key for a program; the only time that it is seen. Raises KeyRefused."""
    if not NAME.fullmatch(name):
        message = "a key's name has small letters, digits, dots and dashes, 64 at most: newsletter-tool"
        raise KeyRefused(message)
    if session.scalar(select(ApiKey.id).where(ApiKey.name == name)) is not None:
        message = f"there is, or was, a key {name} already: give the new one a name of its own"
        raise KeyRefused(message)
    secret = secrets.token_urlsafe(KEY_BYTES)
    key = f"{PREFIX}{secret}"
    said = sorted(scope.value for scope in set(scopes))
    session.add(ApiKey(name=name, key_hash=_hash(key), start=secret[:6], scopes=said, created_at=now))
    note(session, who, Act.KEY_MADE, f"{name}: {', '.join(said)}", now=now)
    return key


def find_key(session: Session, key: str) -> ApiKey | None:
    """The key's row; None when there is none, or no longer."""
    row = session.scalar(select(ApiKey).where(ApiKey.key_hash == _hash(key)))
    return None if row is None or row.revoked_at is not None else row


def revoke_key(session: Session, name: str, *, who: str, now: datetime) -> None:
    """Let a key open nothing from now on. Raises KeyRefused."""
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
    """All keys, also those that were revoked, in the order of their making."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))


def was_used_long_ago(key: ApiKey, *, now: datetime) -> bool:
    """Whether it is worth noting that a key is used now."""
    return key.used_at is None or now - key.used_at >= USED_EVERY


def _hash(key: str) -> bytes:
    # 256 bits from the system's generator: there is nothing to guess, and so nothing to make slow.
    return hashlib.sha256(key.encode()).digest()
