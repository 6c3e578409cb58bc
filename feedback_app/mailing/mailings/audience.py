"""The audience of a mailing: how many customers get it, why others don't, and the rows that it becomes in the ledger.

Every function takes a session; the entry point commits.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, insert, literal, select
from sqlalchemy.orm import Session

from feedback_app.customers.consent import not_paused, writable
from feedback_app.customers.digest_schedule import COLLECTED
from feedback_app.customers.models import Customer, Frequency, Preference, Suppression
from feedback_app.customers.topics import Topic
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing


@dataclass(frozen=True, slots=True)
class Excluded:
    """How many customers a mailing on a topic leaves out, by reason; those `in_digests` get it later, with others."""

    no: int
    paused: int
    suppressed: int
    in_digests: int


def audience_count(session: Session, topic: Topic, *, now: datetime) -> int:
    """Return how many customers would get a mailing at this moment; those who get it in a digest don't count."""
    query = select(func.count()).select_from(Customer).where(writable(topic, now), ~_in_digests(topic))
    return session.scalar(query) or 0


def excluded(session: Session, topic: Topic, *, now: datetime) -> Excluded:
    """Return how many known customers would get no mailing. A customer counts once, by the first reason."""

    def count(query: Select[int]) -> int:
        return session.scalar(query) or 0

    customers = select(func.count()).select_from(Customer)
    suppressed = select(Suppression.fingerprint).where(Suppression.fingerprint == Customer.fingerprint).exists()
    wants = (
        select(Preference.customer_id)
        .where(
            Preference.customer_id == Customer.id, Preference.topic == topic, Preference.frequency != Frequency.NEVER
        )
        .exists()
    )
    return Excluded(
        no=count(customers.where(~suppressed, ~wants)),
        paused=count(customers.where(~suppressed, wants, ~not_paused(now))),
        suppressed=count(customers.where(suppressed)),
        in_digests=count(customers.where(writable(topic, now), _in_digests(topic))),
    )


def freeze_audience(session: Session, mailing: Mailing, *conditions: ColumnElement[bool], now: datetime) -> None:
    """Queue a delivery for every customer who may be written to about the topic now and meets the conditions."""
    columns = ("mailing_id", "customer_id", "state", "attempts", "changed_at")
    customers = (
        select(
            literal(mailing.id),
            Customer.id,
            literal(DeliveryState.QUEUED, Delivery.state.type),
            literal(0),
            literal(now, Delivery.changed_at.type),
        )
        .where(writable(mailing.topic, now), *conditions)
        .order_by(Customer.id)
    )
    session.execute(insert(Delivery).from_select(columns, customers))


def _in_digests(topic: Topic) -> ColumnElement[bool]:
    """Return the condition that a row of `customers` gets this topic in weekly or monthly digests."""
    return (
        select(Preference.customer_id)
        .where(
            Preference.customer_id == Customer.id,
            Preference.topic == topic,
            Preference.frequency.in_(COLLECTED),
        )
        .exists()
    )
