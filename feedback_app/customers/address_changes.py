"""Changes of address: asked for on the customer's page, confirmed from the old address and from the new one.

Every function takes the session; the entry point commits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from feedback_app.customers.addresses import Address
from feedback_app.customers.models import AddressChange, Customer, Suppression, SuppressionReason, Undo
from feedback_app.customers.services import (
    ADDRESS_COLUMN,
    IGNORE_REPEATS_FOR,
    NAME_COLUMN,
    address_of,
    find_customer,
    name_of,
    set_name,
    suppression_of,
)
from feedback_app.db.setup import vault_of
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter
from feedback_app.security.crypto import CannotOpen

NEW_COLUMN, OLD_COLUMN = "address_changes.address", "address_changes.old_address"
MOST_A_DAY = 3


class AddressSide(Enum):
    """The address from which a change is accepted or declined."""

    OLD = "old"
    NEW = "new"


class ChangeResult(StrEnum):
    """The result of accepting a change from one address."""

    WAITS = "waits"
    DONE = "done"
    # The new address belongs to another customer, who has confirmed it.
    TAKEN = "taken"
    # The new address must not be written to.
    BARRED = "barred"


@dataclass(frozen=True, slots=True)
class ChangeAddresses:
    """Both addresses of a change, opened."""

    old: Address
    new: Address


def addresses_of_change(session: Session, change: AddressChange) -> ChangeAddresses:
    """Return the addresses of a change. Raises CannotOpen."""
    vault = vault_of(session)
    return ChangeAddresses(
        Address.parse(vault.open(OLD_COLUMN, change.old_fingerprint, change.old_address)),
        Address.parse(vault.open(NEW_COLUMN, change.fingerprint, change.address)),
    )


def pending_change(session: Session, customer: Customer) -> AddressChange | None:
    """Return the change that a customer has asked for and that is not made yet."""
    mine = AddressChange.customer_id == customer.id
    return session.scalar(select(AddressChange).where(mine, AddressChange.done_at.is_(None)))


def request_change(session: Session, customer: Customer, address: Address, *, now: datetime) -> bool:
    """Store a customer's request for another address, replacing an earlier one, and queue both letters that ask.

    Load the customer `with_for_update`. Returns whether letters are sent: three times a day at most, so that no
    stranger's inbox can be flooded. What happens does not depend on whom the new address belongs to.
    """
    vault, old = vault_of(session), address_of(session, customer)
    fingerprint = vault.fingerprint(address.key)
    waiting = pending_change(session, customer)
    if waiting is not None and waiting.fingerprint == fingerprint and waiting.asked_at > now - IGNORE_REPEATS_FOR:
        # The same request again, from another tab or by a second press of the button.
        return True
    if _asked_today(session, customer, now) >= MOST_A_DAY:
        return False
    session.execute(delete(AddressChange).where(AddressChange.customer_id == customer.id))
    change = AddressChange(
        customer_id=customer.id,
        fingerprint=fingerprint,
        address=vault.seal(NEW_COLUMN, fingerprint, address.written),
        old_fingerprint=customer.fingerprint,
        old_address=vault.seal(OLD_COLUMN, customer.fingerprint, old.written),
        asked_at=now,
    )
    session.add(change)
    session.flush()
    for kind in (LetterKind.CHANGE_OLD, LetterKind.CHANGE_NEW):
        queue_letter(session, kind, customer.id, about=change.id, now=now)
    return True


def accept_change(session: Session, change: AddressChange, side: AddressSide, *, now: datetime) -> ChangeResult:
    """Accept a change from one of its addresses; once both have accepted, make it.

    Load the change and its customer `with_for_update`.
    """
    if change.done_at is not None:
        return ChangeResult.DONE
    customer = session.get_one(Customer, change.customer_id)
    new = addresses_of_change(session, change).new
    if suppression_of(session, new):
        return ChangeResult.BARRED
    other = find_customer(session, new)
    if other is not None and other.id != customer.id and other.confirmed_at is not None:
        return ChangeResult.TAKEN
    if side is AddressSide.OLD:
        change.old_said_at = change.old_said_at or now
    else:
        change.new_said_at = change.new_said_at or now
    if change.old_said_at is None or change.new_said_at is None:
        return ChangeResult.WAITS
    if other is not None and other.id != customer.id:
        # The address had only been typed before; nobody had proved that it is theirs until now.
        session.delete(other)
        session.flush()
    _make_change(session, customer, change, new, now=now)
    return ChangeResult.DONE


def decline_change(session: Session, change: AddressChange) -> None:
    """Decline a change: nothing changes, and the links in both letters stop working."""
    session.delete(change)


def _make_change(session: Session, customer: Customer, change: AddressChange, new: Address, *, now: datetime) -> None:
    vault, old, name = vault_of(session), customer.fingerprint, name_of(session, customer)
    kept = session.get(Undo, customer.id)
    name_before = vault.open(NAME_COLUMN, old, kept.name) if kept is not None and kept.name else None
    customer.fingerprint = change.fingerprint
    customer.address = vault.seal(ADDRESS_COLUMN, change.fingerprint, new.written)
    set_name(session, customer, name)
    if kept is not None and name_before:
        kept.name = vault.seal(NAME_COLUMN, change.fingerprint, name_before)
    # Links in the old inbox no longer open this page, and no longer confirm a subscription asked for from there.
    customer.link_series += 1
    session.execute(
        delete(LetterRequest).where(
            LetterRequest.customer_id == customer.id, LetterRequest.kind == LetterKind.CONFIRM_SUBSCRIPTION
        )
    )
    barred = session.get(Suppression, old)
    if barred is not None and barred.reason in {SuppressionReason.COMPLAINED, SuppressionReason.OWNER}:
        # Those reasons are about the person, not about their inbox.
        session.add(Suppression(fingerprint=change.fingerprint, reason=barred.reason, at=barred.at))
    change.done_at = now
    queue_letter(session, LetterKind.ADDRESS_CHANGED, customer.id, about=change.id, now=now)
    session.flush()


def _asked_today(session: Session, customer: Customer, now: datetime) -> int:
    asked = select(func.count()).where(
        LetterRequest.kind == LetterKind.CHANGE_NEW,
        LetterRequest.customer_id == customer.id,
        LetterRequest.asked_at > now - timedelta(days=1),
    )
    return session.scalar(asked) or 0


def reseal_changes(session: Session) -> None:
    """Seal the addresses of changes with the current key. A change that can't be opened is deleted."""
    vault = vault_of(session)
    for change in session.scalars(select(AddressChange).with_for_update()):
        try:
            both = addresses_of_change(session, change)
        except CannotOpen:
            session.delete(change)
            continue
        change.old_address = vault.seal(OLD_COLUMN, change.old_fingerprint, both.old.written)
        change.address = vault.seal(NEW_COLUMN, change.fingerprint, both.new.written)
