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
    """What a letter needs to know of a customer, opened: the address as given, and the name as chosen (or None)."""

    id: int
    address: str
    name: str | None
    # Which links to their page are good, and in which language they want their letters (None: the shop's own).
    series: int = 0
    language: str | None = None


def find_customer(session: Session, address: Address) -> Customer | None:
    """The customer of an address, whatever the case of its letters."""
    return session.scalar(select(Customer).where(Customer.fingerprint == vault_of(session).fingerprint(address.key)))


def suppression_of(session: Session, address: Address) -> Suppression | None:
    """Why and since when an address must not be written to; None when it is not barred."""
    return session.get(Suppression, vault_of(session).fingerprint(address.key))


def find_or_add_customer(session: Session, address: Address, *, now: datetime) -> Customer:
    """The customer of an address; a new one has proved nothing yet and may be written to about nothing."""
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
            # Somebody added the same address a moment ago: a second press of the button.
            customer = session.scalars(select(Customer).where(Customer.fingerprint == fingerprint)).one()
    return customer


def address_of(session: Session, customer: Customer) -> Address:
    """A customer's address, opened. Raises CannotOpen."""
    return Address.parse(vault_of(session).open(ADDRESS_COLUMN, customer.fingerprint, customer.address))


def name_of(session: Session, customer: Customer) -> str | None:
    """A customer's whole name, opened, for their own eyes. Raises CannotOpen."""
    if customer.name is None:
        return None
    return vault_of(session).open(NAME_COLUMN, customer.fingerprint, customer.name)


def set_name(session: Session, customer: Customer, name: str | None) -> None:
    """Keep a cleaned name, sealed; None takes it away."""
    vault = vault_of(session)
    customer.name = vault.seal(NAME_COLUMN, customer.fingerprint, name) if name else None


class SealedCustomer(NamedTuple):
    """What a letter needs of a customer, for `person` to open, without the cost of an object that the session keeps.

    `frequency` is how often they welcome letters of a topic, where it was asked for one, if at all.
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
        """Whether they may be written to."""
        return self.frequency is not None and self.frequency is not Frequency.NEVER


# The columns of a `SealedCustomer`, in its order, but for the last.
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
    """A customer as a letter may name them. Raises CannotOpen."""
    vault = vault_of(at)
    name = None
    if customer.name is not None and customer.name_display is not NameDisplay.UNDISCLOSED:
        name = shown_name(vault.open(NAME_COLUMN, customer.fingerprint, customer.name), customer.name_display)
    address = vault.open(ADDRESS_COLUMN, customer.fingerprint, customer.address)
    return Person(customer.id, address, name, customer.link_series, customer.language)


def shown_name(name: str | None, display: NameDisplay) -> str | None:
    """The part of a name that its owner lets letters say."""
    if not name or display is NameDisplay.UNDISCLOSED:
        return None
    return name.split()[0] if display is NameDisplay.FIRST else name


def request_link(session: Session, address: Address, *, now: datetime, quiet: bool) -> None:
    """Note that somebody asked for a link to an address' preferences; the mailer sends it.

    With `quiet`, an address that was asked for a moment ago gets no second letter, nor one after the sixth of a day, so
    that nobody can be flooded.
    """
    customer = find_or_add_customer(session, address, now=now)
    queue_link_letter(session, LetterKind.PREFERENCES_LINK, customer, now=now, quiet=quiet)


def queue_link_letter(session: Session, kind: LetterKind, customer: Customer, *, now: datetime, quiet: bool) -> bool:
    """Note a letter with a link that whoever knows an address can ask for, unless one waits or there were too many.

    Returns whether it is noted.
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
