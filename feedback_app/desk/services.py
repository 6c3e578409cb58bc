"""Owners' accounts, second factors, recovery codes, locks and sessions. The entry point commits."""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta

from passlib.context import CryptContext
from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from feedback_app.audit_log import Act, note
from feedback_app.db.setup import vault_of
from feedback_app.db.store import rows_changed
from feedback_app.desk.models import Owner, OwnerSession, RecoveryCode
from feedback_app.desk.passkeys import remove_all_passkeys

MIN_PASSWORD_LENGTH = 12
MAX_PASSWORD_LENGTH = 1024
USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
TOTP_COLUMN = "owners.totp_secret"
# A session ends after this time without use, and at the latest this long after its start.
MAX_IDLE = timedelta(hours=12)
MAX_SESSION = timedelta(days=30)
# A session's last use is written at most this often.
SEEN_EVERY = timedelta(minutes=1)
# After this many wrong passwords and codes in a row, none is accepted for LOCKED_FOR.
MAX_FAILURES = 10
LOCKED_FOR = timedelta(minutes=15)

_password_hashes = CryptContext(schemes=["argon2"])


class OwnerRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """An owner can't be created or changed like this; the message is one line that says why."""


def create_owner(session: Session, username: str, password: str, *, who: str, now: datetime) -> Owner:
    """Create an owner, who sets up the second factor at the first sign-in. Raises OwnerRefused."""
    if not USERNAME.fullmatch(username):
        message = "a user name is made of small letters, digits, dots and hyphens, 64 at most: hello, not an address"
        raise OwnerRefused(message)
    if session.scalar(select(Owner.id).where(Owner.username == username)) is not None:
        message = f"there is an owner {username} already: `undisclosed owner password {username}` gives a new password"
        raise OwnerRefused(message)
    owner = Owner(
        username=username,
        password=hash_password(password),
        uniquifier=secrets.token_hex(16),
        failures=0,
        created_at=now,
    )
    session.add(owner)
    session.flush()
    note(session, who, Act.OWNER_CREATED, username, now=now)
    return owner


def hash_password(password: str) -> str:
    """Return a password's hash (Argon2id, RFC 9106). Raises OwnerRefused when it is too short or too long."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        message = (
            f"a password has at least {MIN_PASSWORD_LENGTH} letters: three or four words that do not belong together"
        )
        raise OwnerRefused(message)
    return str(_password_hashes.hash(unicodedata.normalize("NFKD", password)))


def find_owner(session: Session, username: str) -> Owner | None:
    """Return the owner with a user name, in small or capital letters."""
    return session.scalar(select(Owner).where(Owner.username == username.strip().lower()))


def list_owners(session: Session) -> list[Owner]:
    """Return all owners, sorted by user name."""
    return list(session.scalars(select(Owner).order_by(Owner.username)))


def find_owner_by_uniquifier(session: Session, uniquifier: str) -> Owner | None:
    """Return the owner whose sessions carry this uniquifier."""
    return session.scalar(select(Owner).where(Owner.uniquifier == uniquifier))


def change_password(session: Session, owner: Owner, password: str, *, who: str, now: datetime) -> None:
    """Change a password, end every session and lift the lock. Raises OwnerRefused."""
    owner.password, owner.uniquifier = hash_password(password), secrets.token_hex(16)
    owner.failures, owner.locked_until = 0, None
    session.execute(delete(OwnerSession).where(OwnerSession.owner_id == owner.id))
    note(session, who, Act.PASSWORD_CHANGED, owner.username, now=now)


def remove_second_factor(session: Session, owner: Owner, *, who: str, now: datetime) -> int:
    """Remove the second factor, passkeys and recovery codes; a new factor is set up at the next sign-in.

    Ends every session. Returns how many passkeys were removed.
    """
    owner.totp_secret, owner.totp_counter, owner.uniquifier = None, None, secrets.token_hex(16)
    session.execute(delete(OwnerSession).where(OwnerSession.owner_id == owner.id))
    session.execute(delete(RecoveryCode).where(RecoveryCode.owner_id == owner.id))
    passkeys = remove_all_passkeys(session, owner.id)
    note(session, who, Act.FACTOR_SET, f"{owner.username}: taken away", now=now)
    return passkeys


# The second factor


def open_totp_secret(session: Session, owner: Owner) -> str | None:
    """Decrypt the secret from which the codes are made. Raises CannotOpen."""
    if owner.totp_secret is None:
        return None
    return vault_of(session).open(TOTP_COLUMN, _sealed_for(owner), owner.totp_secret)


def set_totp_secret(session: Session, owner: Owner, secret: str | None) -> None:
    """Seal and store the secret from which the codes are made."""
    owner.totp_secret = vault_of(session).seal(TOTP_COLUMN, _sealed_for(owner), secret) if secret else None


def reseal_totp_secrets(session: Session) -> None:
    """Seal every owner's secret with the current key."""
    for owner in session.scalars(select(Owner).with_for_update()):
        set_totp_secret(session, owner, open_totp_secret(session, owner))


def _sealed_for(owner: Owner) -> bytes:
    return str(owner.id).encode()


def use_totp_counter(session: Session, owner_id: int, counter: int) -> bool:
    """Accept a code by its counter (RFC 6238), once, and none before it. Of two concurrent requests one wins."""
    fresh = or_(Owner.totp_counter.is_(None), Owner.totp_counter < counter)
    return rows_changed(session, update(Owner).where(Owner.id == owner_id, fresh).values(totp_counter=counter)) == 1


def set_recovery_codes(session: Session, owner_id: int, codes: Sequence[str]) -> None:
    """Store the hashes of new recovery codes; the old ones stop working."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.owner_id == owner_id))
    session.add_all(RecoveryCode(code_hash=_code_hash(session, owner_id, code), owner_id=owner_id) for code in codes)


def use_recovery_code(session: Session, owner_id: int, code: str) -> bool:
    """Accept a recovery code, once; return whether it was valid."""
    used = delete(RecoveryCode).where(
        RecoveryCode.owner_id == owner_id, RecoveryCode.code_hash == _code_hash(session, owner_id, code)
    )
    return rows_changed(session, used) == 1


def recovery_codes_left(session: Session, owner_id: int) -> int:
    """Return how many recovery codes are left."""
    query = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.owner_id == owner_id)
    return session.scalar(query) or 0


def _code_hash(session: Session, owner_id: int, code: str) -> bytes:
    plain = re.sub(r"[\s-]", "", code).lower()
    return vault_of(session).fingerprint(f"recovery code {owner_id} {plain}")


# Wrong passwords and codes


def note_failure(session: Session, owner_id: int, failure: str, *, now: datetime) -> None:
    """Count a wrong password or code; lock the owner after MAX_FAILURES in a row."""
    owner = session.get_one(Owner, owner_id, with_for_update=True)
    owner.failures += 1
    if owner.failures >= MAX_FAILURES:
        owner.failures, owner.locked_until = 0, now + LOCKED_FOR
        failure = f"{failure}; locked for {LOCKED_FOR.seconds // 60} minutes"
    note(session, owner.username, Act.SIGN_IN_FAILED, failure, now=now)


def is_locked(session: Session, owner_id: int, *, now: datetime) -> bool:
    """Return whether the owner is locked, so that not even a right password is accepted."""
    until = session.scalar(select(Owner.locked_until).where(Owner.id == owner_id))
    return until is not None and until > now


# Sessions


def start_session(session: Session, owner_id: int, browser: str, *, now: datetime) -> str:
    """Start a session and lift the lock; return the key that the browser keeps."""
    key = secrets.token_urlsafe(32)
    owner = session.get_one(Owner, owner_id)
    owner.failures, owner.locked_until = 0, None
    session.execute(delete(OwnerSession).where(_has_ended(now)))
    session.add(OwnerSession(owner_id=owner_id, key_hash=_key_hash(key), browser=browser, started_at=now, seen_at=now))
    note(session, owner.username, Act.SIGNED_IN, browser, now=now)
    return key


def find_session(session: Session, owner_id: int, key: str, *, now: datetime) -> OwnerSession | None:
    """Return the session of a key, unless it has ended."""
    query = select(OwnerSession).where(OwnerSession.owner_id == owner_id, OwnerSession.key_hash == _key_hash(key))
    return session.scalar(query.where(~_has_ended(now)))


def touch_session(session: Session, session_id: int, *, now: datetime) -> None:
    """Record that a session is in use."""
    session.execute(update(OwnerSession).where(OwnerSession.id == session_id).values(seen_at=now))


def list_sessions(session: Session, owner_id: int, *, now: datetime) -> list[OwnerSession]:
    """Return an owner's sessions, the last used first."""
    query = select(OwnerSession).where(OwnerSession.owner_id == owner_id, ~_has_ended(now))
    return list(session.scalars(query.order_by(OwnerSession.seen_at.desc(), OwnerSession.id.desc())))


def end_session(session: Session, owner_id: int, *, number: int | None = None, but: int | None = None) -> int:
    """End session `number`, or all of an owner's except session `but`; return how many ended."""
    query = delete(OwnerSession).where(OwnerSession.owner_id == owner_id)
    if number is not None:
        query = query.where(OwnerSession.id == number)
    if but is not None:
        query = query.where(OwnerSession.id != but)
    return rows_changed(session, query)


def _has_ended(now: datetime) -> ColumnElement[bool]:
    return or_(OwnerSession.seen_at <= now - MAX_IDLE, OwnerSession.started_at <= now - MAX_SESSION)


def _key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
