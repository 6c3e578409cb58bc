"""Subscribing: an address typed on the blog counts for nothing until the link in a letter to it was used.

Every function takes the session; the entry point commits.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import confirm_subscription, frequencies
from feedback_app.customers.models import ConsentAction, ConsentEvent, Customer, Frequency, Suppression
from feedback_app.customers.services import find_or_add_customer, suppression_of
from feedback_app.customers.topics import SUBSCRIBABLE, Topic
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter

# Nobody can be flooded through the form: one letter in this time to one address, whoever types it and however.
ONE_LETTER_IN = timedelta(days=1)
SUBSCRIPTION_FREQUENCIES = (Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY)
_FREQUENCY_SHIFT = 8


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """What somebody wants to subscribe to, and the language of the page on which they said so."""

    topics: tuple[Topic, ...]
    frequency: Frequency
    language: str | None = None

    def as_json(self) -> str:
        """The subscription as it is kept."""
        return json.dumps({"topics": self.topics, "frequency": self.frequency, "language": self.language})

    @classmethod
    def of_json(cls, text: str) -> "SubscriptionRequest":
        """A subscription that was kept."""
        said = json.loads(text)
        return cls(tuple(Topic(one) for one in said["topics"]), Frequency(said["frequency"]), said["language"])

    @property
    def code(self) -> int:
        """The number that stands for the subscription in a link: a bit a topic, and the rhythm above them."""
        bits = sum(1 << topic.info.code for topic in self.topics)
        return bits | SUBSCRIPTION_FREQUENCIES.index(self.frequency) << _FREQUENCY_SHIFT

    @classmethod
    def of_code(cls, code: int) -> "SubscriptionRequest":
        """The subscription of a link. Raises ValueError where it is none."""
        topics = tuple(topic for topic in SUBSCRIBABLE if code & 1 << topic.info.code)
        rhythm = code >> _FREQUENCY_SHIFT
        subscription = (
            cls(topics, SUBSCRIPTION_FREQUENCIES[rhythm]) if topics and rhythm < len(SUBSCRIPTION_FREQUENCIES) else None
        )
        if subscription is None or subscription.code != code:
            message = "not a subscription"
            raise ValueError(message)
        return subscription


def request_confirmation(
    session: Session, address: Address, subscription: SubscriptionRequest, *, asked_at: datetime, now: datetime
) -> bool:
    """Have an address asked whether it is true that its owner wants this; returns whether a letter will go.

    None goes to an address that must not be written to: whoever owns it can ask for a link to their choices.
    """
    if suppression_of(session, address):
        return False
    customer = find_or_add_customer(session, address, now=now)
    lately = select(LetterRequest.id).where(
        LetterRequest.kind == LetterKind.CONFIRM_SUBSCRIPTION,
        LetterRequest.customer_id == customer.id,
        LetterRequest.asked_at > now - ONE_LETTER_IN,
    )
    if session.scalar(lately.limit(1)) is not None:
        return False
    if customer.confirmed_at is None and customer.language is None:
        customer.language = subscription.language
    kind, typed_at = LetterKind.CONFIRM_SUBSCRIPTION, asked_at.isoformat()
    queue_letter(session, kind, customer.id, about=subscription.code, details=typed_at, now=now)
    return True


def is_subscribed(session: Session, customer: Customer, subscription: SubscriptionRequest) -> bool:
    """Whether somebody gets all of this already, as often."""
    if customer.confirmed_at is None or session.get(Suppression, customer.fingerprint) is not None:
        return False
    chosen = frequencies(session, customer)
    return all(chosen.get(topic) is subscription.frequency for topic in subscription.topics)


def is_confirmation_void(session: Session, customer: Customer, subscription: SubscriptionRequest) -> bool:
    """Whether a link to confirm is over: its person has said no since it was asked for, or it was never sent."""
    asked_at = _asked_at(session, customer)
    if asked_at is None:
        return True
    no_since = select(ConsentEvent.id).where(
        ConsentEvent.customer_id == customer.id,
        ConsentEvent.topic.in_(subscription.topics),
        ConsentEvent.action == ConsentAction.WITHDRAWN,
        ConsentEvent.at >= asked_at,
    )
    return session.scalar(no_since.limit(1)) is not None


def subscribe(
    session: Session,
    customer: Customer,
    subscription: SubscriptionRequest,
    *,
    wording_of: Callable[[Topic], str],
    now: datetime,
) -> list[Topic]:
    """The address' owner says yes; returns what is new. Load the customer `with_for_update`.

    The record gets two lines a topic: what was typed on the blog, at its time, and that the link was used.
    """
    customer.confirmed_at = customer.confirmed_at or now
    asked_at = _asked_at(session, customer) or now
    return [
        topic
        for topic in subscription.topics
        if confirm_subscription(
            session, customer, topic, subscription.frequency, wording=wording_of(topic), asked_at=asked_at, now=now
        )
    ]


def _asked_at(session: Session, customer: Customer) -> datetime | None:
    query = select(LetterRequest.details).where(
        LetterRequest.kind == LetterKind.CONFIRM_SUBSCRIPTION, LetterRequest.customer_id == customer.id
    )
    typed_at = session.scalar(query.order_by(LetterRequest.id.desc()).limit(1))
    return datetime.fromisoformat(typed_at) if typed_at else None
