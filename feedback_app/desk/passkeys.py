"""Storing passkeys, a kind of second factor (Web Authentication, Level 2)."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from feedback_app.audit_log import Act, note
from feedback_app.db.store import rows_changed
from feedback_app.desk.models import Owner, OwnerPasskey


def add_passkey(
    session: Session,
    owner: Owner,
    name: str,
    *,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
    transports: Sequence[str],
    now: datetime,
) -> OwnerPasskey:
    """Add a passkey to an owner."""
    passkey = OwnerPasskey(
        owner_id=owner.id,
        name=name,
        credential_id=credential_id,
        public_key=public_key,
        sign_count=sign_count,
        transports=list(transports),
        created_at=now,
    )
    session.add(passkey)
    session.flush()
    note(session, owner.username, Act.PASSKEY_ADDED, name, now=now)
    return passkey


def passkeys_of(session: Session, owner_id: int) -> list[OwnerPasskey]:
    """Return an owner's passkeys, oldest first."""
    query = select(OwnerPasskey).where(OwnerPasskey.owner_id == owner_id)
    return list(session.scalars(query.order_by(OwnerPasskey.id)))


def count_passkeys(session: Session) -> dict[int, int]:
    """Return the number of passkeys by owner id; owners without one are left out."""
    query = select(OwnerPasskey.owner_id, func.count()).group_by(OwnerPasskey.owner_id)
    return dict(session.execute(query).all())


def find_passkey(session: Session, credential_id: bytes) -> OwnerPasskey | None:
    """Return the passkey of a credential, if there is one."""
    return session.scalar(select(OwnerPasskey).where(OwnerPasskey.credential_id == credential_id))


def accept_answer(session: Session, passkey_id: int, challenge: str) -> bool:
    """Accept a passkey's answer to a challenge, once: of two concurrent requests one wins."""
    challenge_hash = hashlib.sha256(challenge.encode()).digest()
    fresh = or_(OwnerPasskey.last_challenge.is_(None), OwnerPasskey.last_challenge != challenge_hash)
    taken = update(OwnerPasskey).where(OwnerPasskey.id == passkey_id, fresh).values(last_challenge=challenge_hash)
    return rows_changed(session, taken) == 1


def use_passkey(session: Session, passkey_id: int, sign_count: int, *, now: datetime) -> None:
    """Record a use of a passkey, and its own count of uses."""
    session.execute(
        update(OwnerPasskey).where(OwnerPasskey.id == passkey_id).values(sign_count=sign_count, used_at=now)
    )


def remove_passkey(session: Session, owner: Owner, passkey_id: int, name: str, *, now: datetime) -> bool:
    """Remove a passkey; return whether it existed."""
    found = delete(OwnerPasskey).where(OwnerPasskey.id == passkey_id, OwnerPasskey.owner_id == owner.id)
    if rows_changed(session, found) == 0:
        return False
    note(session, owner.username, Act.PASSKEY_REMOVED, name, now=now)
    return True


def remove_all_passkeys(session: Session, owner_id: int) -> int:
    """Remove all passkeys of an owner; return how many there were."""
    return rows_changed(session, delete(OwnerPasskey).where(OwnerPasskey.owner_id == owner_id))
