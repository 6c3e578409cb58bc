"""What was typed on the site and waits until the mailer has looked whose address it is.

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
MOST_AT_ONCE = 200
# Nobody looks into their letter box any more for what they asked for so long ago: before a restore, say.
STILL_WAITED_FOR = timedelta(days=2)


def save_typed_address(
    session: Session,
    address: Address,
    what_for: TypedFor,
    *,
    now: datetime,
    subscription: SubscriptionRequest | None = None,
) -> None:
    """Note what was typed: one row, the same for everybody."""
    vault = vault_of(session)
    fingerprint = vault.fingerprint(address.key)
    sealed = vault.seal(TYPED_COLUMN, fingerprint, address.written)
    row = TypedAddress(what_for=what_for, fingerprint=fingerprint, address=sealed, at=now)
    row.wish = subscription.as_json() if subscription else None
    session.add(row)


def has_typed_addresses(session: Session) -> bool:
    """Whether anything waits."""
    return session.scalar(select(TypedAddress.id).limit(1)) is not None


def handle_typed_addresses(session: Session, *, now: datetime, quiet: bool) -> int:
    """Look whose the oldest of these addresses are, and have the letters sent that they ask for; returns how many.

    With `quiet`, one address gets no second link in a moment, and few in a day.
    """
    # Two mailers at once would each have a letter sent to an address that was typed twice.
    advisory_lock(session, "typed addresses")
    waiting = select(TypedAddress).order_by(TypedAddress.id).limit(MOST_AT_ONCE).with_for_update()
    rows = session.scalars(waiting).all()
    for row in rows:
        if row.at <= now - STILL_WAITED_FOR:
            session.delete(row)
            continue
        try:
            address = Address.parse(vault_of(session).open(TYPED_COLUMN, row.fingerprint, row.address))
        except CannotOpen:
            # Its key is gone, and with it whom to write to. Whoever typed it can type it again.
            session.delete(row)
            continue
        if row.what_for is TypedFor.SUBSCRIBING and row.wish:
            request_confirmation(session, address, SubscriptionRequest.of_json(row.wish), asked_at=row.at, now=now)
        else:
            request_link(session, address, now=now, quiet=quiet)
        session.delete(row)
    return len(rows)


def reseal_typed_addresses(session: Session) -> None:
    """Seal what waits with the key in force. What can't be opened is left to whoever looks it up."""
    vault = vault_of(session)
    for row in session.scalars(select(TypedAddress).with_for_update()):
        with suppress(CannotOpen):
            text = vault.open(TYPED_COLUMN, row.fingerprint, row.address)
            row.address = vault.seal(TYPED_COLUMN, row.fingerprint, text)
