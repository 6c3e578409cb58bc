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

# No inbox can be flooded through the form: an address gets one such letter in this time, however it is typed.
CONFIRMATION_INTERVAL = timedelta(days=1)
SUBSCRIPTION_FREQUENCIES = (Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY)
_FREQUENCY_SHIFT = 8


@dataclass(frozen=True, slots=True)
class SubscriptionRequest:
    """What a reader asked to subscribe to, and the language of the page on which they did."""

    topics: tuple[Topic, ...]
    frequency: Frequency
    language: str | None = None

    def as_json(self) -> str:
        """Return the request as it is stored."""
        return json.dumps({"topics": self.topics, "frequency": self.frequency, "language": self.language})

    @classmethod
    def of_json(cls, text: str) -> "SubscriptionRequest":
        """Return a request that was stored."""
        stored = json.loads(text)
        return cls(
            tuple(Topic(topic) for topic in stored["topics"]), Frequency(stored["frequency"]), stored["language"]
        )

    @property
    def code(self) -> int:
        """The number that stands for the request in a link: one bit for each topic, and the frequency above them."""
        bits = sum(1 << topic.info.code for topic in self.topics)
        return bits | SUBSCRIPTION_FREQUENCIES.index(self.frequency) << _FREQUENCY_SHIFT

    @classmethod
    def of_code(cls, code: int) -> "SubscriptionRequest":
        """Return the request of a link. Raises ValueError if no request has this code."""
        topics = tuple(topic for topic in SUBSCRIBABLE if code & 1 << topic.info.code)
        place = code >> _FREQUENCY_SHIFT
        known = topics and place < len(SUBSCRIPTION_FREQUENCIES)
        subscription = cls(topics, SUBSCRIPTION_FREQUENCIES[place]) if known else None
        if subscription is None or subscription.code != code:
            message = "not a subscription"
            raise ValueError(message)
        return subscription


def request_confirmation(
    session: Session, address: Address, subscription: SubscriptionRequest, *, asked_at: datetime, now: datetime
) -> bool:
    """Queue a letter that asks whether the address' owner wants this subscription. Returns whether it was queued.

    A suppressed address gets none: its owner can ask for a link to their choices instead.
    """
    if suppression_of(session, address):
        return False
    customer = find_or_add_customer(session, address, now=now)
    lately = select(LetterRequest.id).where(
        LetterRequest.kind == LetterKind.CONFIRM_SUBSCRIPTION,
        LetterRequest.customer_id == customer.id,
        LetterRequest.asked_at > now - CONFIRMATION_INTERVAL,
    )
    if session.scalar(lately.limit(1)) is not None:
        return False
    if customer.confirmed_at is None and customer.language is None:
        customer.language = subscription.language
    kind, typed_at = LetterKind.CONFIRM_SUBSCRIPTION, asked_at.isoformat()
    queue_letter(session, kind, customer.id, about=subscription.code, details=typed_at, now=now)
    return True


def is_subscribed(session: Session, customer: Customer, subscription: SubscriptionRequest) -> bool:
    """Return whether a customer gets all of these topics already, at this frequency."""
    if customer.confirmed_at is None or session.get(Suppression, customer.fingerprint) is not None:
        return False
    chosen = frequencies(session, customer)
    return all(chosen.get(topic) is subscription.frequency for topic in subscription.topics)


def is_confirmation_void(session: Session, customer: Customer, subscription: SubscriptionRequest) -> bool:
    """Return whether a confirmation link is void: the customer said no since it was asked for, or it was never sent."""
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
    """Subscribe a customer who has used the confirmation link. Returns the topics that are new.

    Load the customer `with_for_update`. The record gets two lines for each topic: what was typed on the blog, with its
    time, and that the link was used.
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
