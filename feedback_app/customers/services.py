"""Finding, adding and reading customers. Every function takes the session; the entry point commits."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from feedback_app.customers.addresses import Address
from feedback_app.customers.models import Customer, Frequency, LetterFormat, NameDisplay, Suppression
from feedback_app.db.setup import vault_of
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter

ADDRESS_COLUMN = "customers.address"
NAME_COLUMN = "customers.name"
IGNORE_REPEATS_FOR = timedelta(minutes=5)
MOST_LINKS_A_DAY = 6


class Person(NamedTuple):
    """What a letter needs of a customer, opened: the address as given, and as much of the name as they allow."""

    id: int
    address: str
    name: str | None
    # The series of links that open their page, and the language of their letters (None: the shop's own).
    series: int = 0
    language: str | None = None


def find_customer(session: Session, address: Address) -> Customer | None:
    """Return the customer of an address, whatever its case."""
    return session.scalar(select(Customer).where(Customer.fingerprint == vault_of(session).fingerprint(address.key)))


def suppression_of(session: Session, address: Address) -> Suppression | None:
    """Return the suppression of an address, or None if it may be written to."""
    return session.get(Suppression, vault_of(session).fingerprint(address.key))


def find_or_add_customer(session: Session, address: Address, *, now: datetime) -> Customer:
    """Return the customer of an address; a new one is unconfirmed and may be written to about nothing."""
    customer = find_customer(session, address)
    if customer is None:
        vault = vault_of(session)
        fingerprint = vault.fingerprint(address.key)
        customer = Customer(
            fingerprint=fingerprint,
            address=vault.seal(ADDRESS_COLUMN, fingerprint, address.written),
            created_at=now,
        )
        try:
            with session.begin_nested():
                session.add(customer)
        except IntegrityError:
            # Another request added the same address at this moment: a second press of the button.
            customer = session.scalars(select(Customer).where(Customer.fingerprint == fingerprint)).one()
    return customer


def address_of(session: Session, customer: Customer) -> Address:
    """Return a customer's address, opened. Raises CannotOpen."""
    return Address.parse(vault_of(session).open(ADDRESS_COLUMN, customer.fingerprint, customer.address))


def name_of(session: Session, customer: Customer) -> str | None:
    """Return a customer's whole name, opened; show it only to them. Raises CannotOpen."""
    if customer.name is None:
        return None
    return vault_of(session).open(NAME_COLUMN, customer.fingerprint, customer.name)


def set_name(session: Session, customer: Customer, name: str | None) -> None:
    """Seal and set a name that `clean_name` returned; None removes it."""
    vault = vault_of(session)
    customer.name = vault.seal(NAME_COLUMN, customer.fingerprint, name) if name else None


class SealedCustomer(NamedTuple):
    """The columns that a letter needs of a customer, sealed, for `person` to open: cheaper than an ORM object.

    `frequency` is how often they want letters about the topic that the query asked for, if it asked for one.
    """

    id: int
    fingerprint: bytes
    address: bytes
    name: bytes | None
    name_display: NameDisplay
    link_series: int
    language: str | None
    format: LetterFormat
    frequency: Frequency | None = None

    @property
    def wants_letters(self) -> bool:
        """Whether they may be written to about the topic."""
        return self.frequency is not None and self.frequency is not Frequency.NEVER


# The columns of a `SealedCustomer` in its order, without `frequency`.
SEALED_COLUMNS = (
    Customer.id,
    Customer.fingerprint,
    Customer.address,
    Customer.name,
    Customer.name_display,
    Customer.link_series,
    Customer.language,
    Customer.format,
)


def person(at: Session | Store, customer: Customer | SealedCustomer) -> Person:
    """Return a customer as a letter may name them. Raises CannotOpen."""
    vault = vault_of(at)
    name = None
    if customer.name is not None and customer.name_display is not NameDisplay.UNDISCLOSED:
        name = shown_name(vault.open(NAME_COLUMN, customer.fingerprint, customer.name), customer.name_display)
    address = vault.open(ADDRESS_COLUMN, customer.fingerprint, customer.address)
    return Person(customer.id, address, name, customer.link_series, customer.language)


def shown_name(name: str | None, display: NameDisplay) -> str | None:
    """Return the part of a name that the customer allows in letters."""
    if not name or display is NameDisplay.UNDISCLOSED:
        return None
    return name.split()[0] if display is NameDisplay.FIRST else name


def request_link(session: Session, address: Address, *, now: datetime, quiet: bool) -> None:
    """Queue a letter with a link to the preference centre.

    With `quiet`, an address gets no second letter within five minutes and no more than six a day, so that no inbox can
    be flooded.
    """
    customer = find_or_add_customer(session, address, now=now)
    queue_link_letter(session, LetterKind.PREFERENCES_LINK, customer, now=now, quiet=quiet)


def queue_link_letter(session: Session, kind: LetterKind, customer: Customer, *, now: datetime, quiet: bool) -> bool:
    """Queue a letter with a link that anybody who knows the address can ask for. Returns whether it was queued.

    It is not when one waits already or, with `quiet`, when there were too many.
    """
    asked = select(func.count()).where(LetterRequest.kind == kind, LetterRequest.customer_id == customer.id)
    today = asked.where(LetterRequest.asked_at > now - timedelta(days=1))
    if quiet and (session.scalar(today) or 0) >= MOST_LINKS_A_DAY:
        return False
    waiting = asked.where(
        (LetterRequest.sent_at.is_(None) & LetterRequest.gave_up.is_(None))
        | (LetterRequest.asked_at > now - (IGNORE_REPEATS_FOR if quiet else timedelta(0))),
    )
    if session.scalar(waiting):
        return False
    queue_letter(session, kind, customer.id, now=now)
    return True
