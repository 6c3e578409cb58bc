"""Which letters were sent to a customer, for the customer to read."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.customers.models import Customer
from feedback_app.customers.topics import Topic
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing

MOST_LETTERS = 500


@dataclass(frozen=True, slots=True)
class SentLetter:
    """A letter that was sent to a customer, or was not, and why."""

    at: datetime
    subject: str
    topic: Topic
    state: DeliveryState
    reason: str | None


def letters_to(session: Session, customer: Customer) -> Iterator[SentLetter]:
    """Yield the letters to a customer, newest first, with those that were left out."""
    query = (
        select(Delivery, Mailing)
        .join(Mailing, Delivery.mailing_id == Mailing.id)
        .where(Delivery.customer_id == customer.id)
        .order_by(Delivery.changed_at.desc(), Delivery.id.desc())
        .limit(MOST_LETTERS)
    )
    for delivery, mailing in session.execute(query):
        yield SentLetter(delivery.changed_at, mailing.subject, mailing.topic, delivery.state, delivery.reason)
