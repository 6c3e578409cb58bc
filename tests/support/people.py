"""The people that tests are about."""

from dataclasses import dataclass
from datetime import datetime

from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import choose
from feedback_app.customers.models import ConsentChannel, Customer, Frequency, NameDisplay
from feedback_app.customers.services import find_or_add_customer, set_name
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an address and a name."""

    name: str
    address: str


ALICE = Person("Alice Adams", "alice@example.com")
BOB = Person("Bob Brown", "bob@example.org")
CAROL = Person("Carol Clark", "carol@example.net")


def welcome(
    store: Store,
    person: Person,
    *,
    now: datetime,
    named: NameDisplay = NameDisplay.UNDISCLOSED,
    **choices: Frequency,
) -> int:
    """Somebody who is a customer and has chosen, through the form; returns their number."""
    with store.writing() as session:
        customer = find_or_add_customer(session, Address.parse(person.address), now=now)
        customer.confirmed_at, customer.name_display = now, named
        set_name(session, customer, person.name)
        for topic, frequency in choices.items():
            wording = Topic(topic).info.wording
            choose(
                session,
                customer,
                Topic(topic),
                frequency,
                channel=ConsentChannel.FORM,
                wording=wording,
                now=now,
            )
        return customer.id


def customer_of(store: Store, number: int) -> Customer:
    """A customer's row as it stands."""
    with store.reading() as session:
        return session.get_one(Customer, number)
