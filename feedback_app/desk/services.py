"""Owners: making one, sessions, the second factor, recovery codes. The entry point commits."""

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
from feedback_app.desk.passkeys import forget_passkeys

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
SECRET_PLACE = "owners.totp_secret"  # noqa: S105 - the name of a column
# A session nobody uses ends by itself, and every one ends some day.
IDLE = timedelta(hours=12)
LONGEST_SESSION = timedelta(days=30)
SEEN_EVERY = timedelta(minutes=1)
# Wrong passwords and codes in a row, after which nothing is taken for a while.
MOST_FAILURES = 10
LOCKED_FOR = timedelta(minutes=15)

_passwords = CryptContext(schemes=["argon2"])


class OwnerRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """An owner can't be made or changed like this; one line that says why."""


def create_owner(session: Session, username: str, password: str, *, who: str, now: datetime) -> Owner:
    """Make an owner, who sets up the second factor when first signing in. Raises OwnerRefused."""
    if not USERNAME.fullmatch(username):
        message = "a user name is made of small letters, digits, dots and hyphens, 64 at most: hello, not an address"
        raise OwnerRefused(message)
    if session.scalar(select(Owner.id).where(Owner.username == username)) is not None:
        message = f"there is an owner {username} already: `undisclosed owner password {username}` gives a new password"
        raise OwnerRefused(message)
    owner = Owner(
        username=username, password=hashed(password), uniquifier=secrets.token_hex(16), failures=0, created_at=now
    )
    session.add(owner)
    session.flush()
    note(session, who, Act.OWNER_CREATED, username, now=now)
    return owner


def hashed(password: str) -> str:
    """A password's hash (Argon2id, RFC 9106). Raises OwnerRefused for one that is too short to be one."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        message = (
            f"a password has at least {SHORTEST_PASSWORD} letters: three or four words that do not belong together"
        )
        raise OwnerRefused(message)
    return str(_passwords.hash(unicodedata.normalize("NFKD", password)))


def find_owner(session: Session, username: str) -> Owner | None:
    """The owner of a user name, however its letters are written."""
    return session.scalar(select(Owner).where(Owner.username == username.strip().lower()))


def list_owners(session: Session) -> list[Owner]:
    """All owners, by their names."""
    return list(session.scalars(select(Owner).order_by(Owner.username)))


def owner_of_mark(session: Session, uniquifier: str) -> Owner | None:
    """The owner whose sessions carry this mark."""
    return session.scalar(select(Owner).where(Owner.uniquifier == uniquifier))


def new_password(session: Session, owner: Owner, password: str, *, who: str, now: datetime) -> None:
    """Change a password; every session ends, and the lock with it. Raises OwnerRefused."""
    owner.password, owner.uniquifier = hashed(password), secrets.token_hex(16)
    owner.failures, owner.locked_until = 0, None
    session.execute(delete(OwnerSession).where(OwnerSession.owner_id == owner.id))
    note(session, who, Act.PASSWORD_CHANGED, owner.username, now=now)


def forget_factor(session: Session, owner: Owner, *, who: str, now: datetime) -> int:
    """Take the second factor away: it is set up anew at the next sign-in. Every session ends.

    Returns how many passkeys went with it.
    """
    owner.totp_secret, owner.totp_counter, owner.uniquifier = None, None, secrets.token_hex(16)
    session.execute(delete(OwnerSession).where(OwnerSession.owner_id == owner.id))
    session.execute(delete(RecoveryCode).where(RecoveryCode.owner_id == owner.id))
    passkeys = forget_passkeys(session, owner.id)
    note(session, who, Act.FACTOR_SET, f"{owner.username}: taken away", now=now)
    return passkeys


# The second factor


def secret_of(session: Session, owner: Owner) -> str | None:
    """What the codes are made from, opened. Raises CannotOpen."""
    if owner.totp_secret is None:
        return None
    return vault_of(session).open(SECRET_PLACE, _place(owner), owner.totp_secret)


def set_secret(session: Session, owner: Owner, secret: str | None) -> None:
    """Keep what the codes are made from, sealed."""
    owner.totp_secret = vault_of(session).seal(SECRET_PLACE, _place(owner), secret) if secret else None


def reseal_secrets(session: Session) -> None:
    """Seal every owner's secret with the key that seals now."""
    for owner in session.scalars(select(Owner).with_for_update()):
        set_secret(session, owner, secret_of(session, owner))


def _place(owner: Owner) -> bytes:
    return str(owner.id).encode()


def use_counter(session: Session, owner_id: int, counter: int) -> bool:
    """Take a code, unless it or a later one was taken before: of two at once, one wins."""
    fresh = or_(Owner.totp_counter.is_(None), Owner.totp_counter < counter)
    return rows_changed(session, update(Owner).where(Owner.id == owner_id, fresh).values(totp_counter=counter)) == 1


def set_recovery_codes(session: Session, owner_id: int, codes: Sequence[str]) -> None:
    """Keep the hashes of new recovery codes; those before are worth nothing any more."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.owner_id == owner_id))
    session.add_all(RecoveryCode(code_hash=_code_hash(session, owner_id, code), owner_id=owner_id) for code in codes)


def use_recovery_code(session: Session, owner_id: int, code: str) -> bool:
    """Take a recovery code, once."""
    mine = RecoveryCode.owner_id == owner_id
    used = delete(RecoveryCode).where(mine, RecoveryCode.code_hash == _code_hash(session, owner_id, code))
    return rows_changed(session, used) == 1


def recovery_codes_left(session: Session, owner_id: int) -> int:
    """How many recovery codes can still be used."""
    query = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.owner_id == owner_id)
    return session.scalar(query) or 0


def _code_hash(session: Session, owner_id: int, code: str) -> bytes:
    plain = re.sub(r"[\s-]", "", code).lower()
    return vault_of(session).fingerprint(f"recovery code {owner_id} {plain}")


# Wrong passwords and codes


def note_failure(session: Session, owner_id: int, what: str, *, now: datetime) -> None:
    """Count a wrong password or code; after too many in a row, nothing is taken for a while."""
    owner = session.get_one(Owner, owner_id, with_for_update=True)
    owner.failures += 1
    if owner.failures >= MOST_FAILURES:
        owner.failures, owner.locked_until = 0, now + LOCKED_FOR
        what = f"{what}; locked for {LOCKED_FOR.seconds // 60} minutes"
    note(session, owner.username, Act.SIGN_IN_FAILED, what, now=now)


def is_locked(session: Session, owner_id: int, *, now: datetime) -> bool:
    """Whether nothing is taken at the moment."""
    until = session.scalar(select(Owner.locked_until).where(Owner.id == owner_id))
    return until is not None and until > now


# Sessions


def start_session(session: Session, owner_id: int, browser: str, *, now: datetime) -> str:
    """Begin a session; returns the key that the browser keeps."""
    key = secrets.token_urlsafe(32)
    owner = session.get_one(Owner, owner_id)
    owner.failures, owner.locked_until = 0, None
    session.execute(delete(OwnerSession).where(_over(now)))
    session.add(OwnerSession(owner_id=owner_id, key_hash=_key_hash(key), browser=browser, started_at=now, seen_at=now))
    note(session, owner.username, Act.SIGNED_IN, browser, now=now)
    return key


def find_session(session: Session, owner_id: int, key: str, *, now: datetime) -> OwnerSession | None:
    """The session of a key, if it goes on."""
    query = select(OwnerSession).where(OwnerSession.owner_id == owner_id, OwnerSession.key_hash == _key_hash(key))
    return session.scalar(query.where(~_over(now)))


def see_session(session: Session, session_id: int, *, now: datetime) -> None:
    """Note that a session is in use."""
    session.execute(update(OwnerSession).where(OwnerSession.id == session_id).values(seen_at=now))


def list_sessions(session: Session, owner_id: int, *, now: datetime) -> list[OwnerSession]:
    """Where an owner is signed in, the latest first."""
    query = select(OwnerSession).where(OwnerSession.owner_id == owner_id, ~_over(now))
    return list(session.scalars(query.order_by(OwnerSession.seen_at.desc(), OwnerSession.id.desc())))


def end_session(session: Session, owner_id: int, *, number: int | None = None, but: int | None = None) -> int:
    """End one session, or all of an owner's (but one); returns how many."""
    query = delete(OwnerSession).where(OwnerSession.owner_id == owner_id)
    if number is not None:
        query = query.where(OwnerSession.id == number)
    if but is not None:
        query = query.where(OwnerSession.id != but)
    return rows_changed(session, query)


def _over(now: datetime) -> ColumnElement[bool]:
    return or_(OwnerSession.seen_at <= now - IDLE, OwnerSession.started_at <= now - LONGEST_SESSION)


def _key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
