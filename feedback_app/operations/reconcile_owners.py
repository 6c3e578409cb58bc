"""Owners after a restore: nobody is signed in any more, and what was changed or used since stays changed and used."""

from typing import Any

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.orm import Session

from feedback_app.db.store import rows_changed
from feedback_app.desk.models import Owner, OwnerPasskey, OwnerSession, RecoveryCode
from feedback_app.operations.snapshot import OWNERS, PASSKEYS, RECOVERY_CODES

# How somebody signs in: what was lost, guessed or seen, and therefore changed, is not brought back.
SIGN_IN = ("password", "active", "totp_secret", "totp_counter", "failures", "locked_until")


def carry_owners(session: Session) -> int:
    """Owners sign in as they did in the store before, with the passkeys and recovery codes that were left.

    Returns how many do.
    """
    old = OWNERS.c
    same = and_(Owner.id == old.id, Owner.username == old.username)
    found = list(session.scalars(select(Owner.id).join(OWNERS, same)))
    values: dict[str, Any] = {name: old[name] for name in SIGN_IN}
    session.execute(update(Owner).where(same).values(values), execution_options={"synchronize_session": False})
    session.execute(delete(RecoveryCode).where(RecoveryCode.owner_id.in_(found)))
    codes = RECOVERY_CODES.c
    left = select(codes.code_hash, codes.owner_id).where(codes.owner_id.in_(found))
    session.execute(insert(RecoveryCode).from_select(["code_hash", "owner_id"], left))
    session.execute(delete(OwnerPasskey).where(OwnerPasskey.owner_id.in_(found)))
    columns = [column.name for column in OwnerPasskey.__table__.columns if column.name != "id"]
    there = select(OwnerPasskey.credential_id)
    kept = select(*(PASSKEYS.c[name] for name in columns)).where(
        PASSKEYS.c.owner_id.in_(found), PASSKEYS.c.credential_id.not_in(there)
    )
    session.execute(insert(OwnerPasskey).from_select(columns, kept))
    return len(found)


def end_sessions(session: Session) -> int:
    """End every session: one that was ended since the backup would go on otherwise. Returns how many there were."""
    return rows_changed(session, delete(OwnerSession))
