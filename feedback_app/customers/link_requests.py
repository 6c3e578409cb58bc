"""Addresses that were typed on the site, waiting for the mailer to look up their customers.

Every function takes the session; the entry point commits.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.customers.addresses import Address
from feedback_app.customers.models import TypedAddress, TypedFor
from feedback_app.customers.services import request_link
from feedback_app.customers.subscriptions import SubscriptionRequest, request_confirmation
from feedback_app.db.setup import vault_of
from feedback_app.db.store import advisory_lock
from feedback_app.security.crypto import CannotOpen

TYPED_COLUMN = "typed_addresses.address"
BATCH = 200
# Nobody waits any longer for a letter that they asked for so long ago (before a restore, for instance).
DISCARD_AFTER = timedelta(days=2)


def save_typed_address(
    session: Session,
    address: Address,
    what_for: TypedFor,
    *,
    now: datetime,
    subscription: SubscriptionRequest | None = None,
) -> None:
    """Store a typed address: one row, whether or not the address is known."""
    vault = vault_of(session)
    fingerprint = vault.fingerprint(address.key)
    sealed = vault.seal(TYPED_COLUMN, fingerprint, address.written)
    row = TypedAddress(what_for=what_for, fingerprint=fingerprint, address=sealed, at=now)
    row.wish = subscription.as_json() if subscription else None
    session.add(row)


def has_typed_addresses(session: Session) -> bool:
    """Return whether any typed address waits."""
    return session.scalar(select(TypedAddress.id).limit(1)) is not None


def handle_typed_addresses(session: Session, *, now: datetime, quiet: bool) -> int:
    """Queue the letters that the oldest typed addresses ask for. Returns how many addresses were handled.

    With `quiet`, an address gets no second link within minutes, and only a few a day.
    """
    # Two mailers at once would each queue a letter to an address that was typed twice.
    advisory_lock(session, "typed addresses")
    waiting = select(TypedAddress).order_by(TypedAddress.id).limit(BATCH).with_for_update()
    rows = session.scalars(waiting).all()
    for row in rows:
        if row.at <= now - DISCARD_AFTER:
            session.delete(row)
            continue
        try:
            address = Address.parse(vault_of(session).open(TYPED_COLUMN, row.fingerprint, row.address))
        except CannotOpen:
            # Its key is gone, so the address can't be read. Its owner can type it again.
            session.delete(row)
            continue
        if row.what_for is TypedFor.SUBSCRIBING and row.wish:
            request_confirmation(session, address, SubscriptionRequest.of_json(row.wish), asked_at=row.at, now=now)
        else:
            request_link(session, address, now=now, quiet=quiet)
        session.delete(row)
    return len(rows)


def reseal_typed_addresses(session: Session) -> None:
    """Seal the waiting addresses with the current key. One that can't be opened is deleted when it is handled."""
    vault = vault_of(session)
    for row in session.scalars(select(TypedAddress).with_for_update()):
        with suppress(CannotOpen):
            text = vault.open(TYPED_COLUMN, row.fingerprint, row.address)
            row.address = vault.seal(TYPED_COLUMN, row.fingerprint, text)
