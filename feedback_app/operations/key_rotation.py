"""Rotating the address key: everything sealed is sealed anew, while the shop runs; a killed rotation is continued.

The new key is put on the ring first, so that every process can open what is sealed with it. Then the rows are gone
through, a transaction a batch. The key before stays on the ring until the next rotation, because a process may have
sealed with it a moment ago, and because backups made before need it.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import ColumnElement, LargeBinary, func, literal, or_, select
from sqlalchemy.orm import Session

from feedback_app.config import Settings
from feedback_app.customers.address_changes import reseal_changes
from feedback_app.customers.link_requests import reseal_typed_addresses
from feedback_app.customers.models import Customer, Undo
from feedback_app.customers.services import ADDRESS_COLUMN, NAME_COLUMN
from feedback_app.db.base import SQLITE
from feedback_app.db.setup import forget_sealing_key, note_sealing_key, sealing_keys, vault_of
from feedback_app.db.store import Store
from feedback_app.desk.services import reseal_totp_secrets
from feedback_app.security.crypto import KEY_ID_BYTES, Vault
from feedback_app.security.keys import ADDRESS_VARIABLE, AddressKeys

BATCH = 500


class RotationRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The key can't be rotated like this; one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did. `continued` when an earlier one had not ended."""

    resealed: int
    continued: bool
    kept: int


def rotate_keys(
    settings: Settings, store: Store, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Rotated:
    """Seal everything with a new key, or end the rotation that was begun. `progress` is told rows done and rows in all.

    Raises RotationRefused where the keys are in the environment and there is no new one in front.
    """
    keys = AddressKeys(settings)
    vault: Vault = store.info["vault"]
    with _one_at_a_time(settings, store):
        vault.refresh()
        with store.reading() as session:
            continued = _count(session, vault.ring.current_id) > 0
        if not continued:
            _begin(keys, store, vault)
        vault.refresh()
        resealed = _reseal_all(store, vault, progress)
        with store.writing() as session:
            reseal_totp_secrets(session)
            reseal_typed_addresses(session)
            reseal_changes(session)
    return Rotated(resealed, continued, len(vault.ring.sealing))


@contextmanager
def _one_at_a_time(settings: Settings, store: Store) -> Iterator[None]:
    """Two rotations at once would each drop the other's key: the second is refused, on this machine and on others."""
    with (settings.instance / "rotation.lock").open("w") as file, store.engine.connect() as connection:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
            if store.dialect != SQLITE:
                # Held by the connection, and so let go of when this process ends, however it ends.
                free = bool(connection.scalar(select(func.pg_try_advisory_lock(func.hashtext("rotation")))))
                connection.commit()
        except BlockingIOError:
            free = False
        if not free:
            message = "another rotation is running: let it end"
            raise RotationRefused(message)
        try:
            yield
        finally:
            if store.dialect != SQLITE:
                connection.execute(select(func.pg_advisory_unlock(func.hashtext("rotation"))))
                connection.commit()


def _begin(keys: AddressKeys, store: Store, vault: Vault) -> None:
    """A new key in front; those that nothing is sealed with any more go."""
    current = vault.ring.current_id
    if keys.in_environment:
        message = (
            f"everything is sealed with the first key of {ADDRESS_VARIABLE} already: to rotate, put a new one in front "
            "of it, with a comma between, restart what runs, and run this again"
        )
        raise RotationRefused(message)
    with store.writing() as session:
        for key_id in sealing_keys(session) - {current}:
            forget_sealing_key(session, key_id)
    keys.keep_only({current})
    ring = keys.add_new()
    with store.writing() as session:
        note_sealing_key(session, ring.current_id)


def _reseal_all(store: Store, vault: Vault, progress: Callable[[int, int], None]) -> int:
    resealed = 0
    with store.reading() as session:
        left = _count(session, vault.ring.current_id)
    progress(0, left)
    while True:
        with store.writing() as session:
            batch = _reseal_batch(session, vault.ring.current_id)
        if not batch:
            return resealed
        resealed += batch
        progress(resealed, max(left, resealed))


def _reseal_batch(session: Session, current: bytes) -> int:
    vault = vault_of(session)
    query = select(Customer).where(_stale(current)).order_by(Customer.id).limit(BATCH).with_for_update(skip_locked=True)
    customers = session.scalars(query).all()
    for customer in customers:
        owner = customer.fingerprint
        customer.address = vault.seal(ADDRESS_COLUMN, owner, vault.open(ADDRESS_COLUMN, owner, customer.address))
        if customer.name is not None:
            customer.name = vault.seal(NAME_COLUMN, owner, vault.open(NAME_COLUMN, owner, customer.name))
        # Undone or not, it is gone in a day; a process that has not seen the new key yet may have just made one.
        kept = session.get(Undo, customer.id)
        if kept is not None and kept.name is not None:
            kept.name = vault.seal(NAME_COLUMN, owner, vault.open(NAME_COLUMN, owner, kept.name))
    return len(customers)


def _count(session: Session, current: bytes) -> int:
    return session.scalar(select(func.count()).select_from(Customer).where(_stale(current))) or 0


def _stale(current: bytes) -> ColumnElement[bool]:
    """Rows with something that is sealed with another key: a sealed value begins with its key's fingerprint."""
    key = literal(current, LargeBinary)
    return or_(
        func.substr(Customer.address, 1, KEY_ID_BYTES) != key, func.substr(Customer.name, 1, KEY_ID_BYTES) != key
    )
