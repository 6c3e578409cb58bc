"""Consent: the single rule of who may be written to, the choices behind it, and the record that proves them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ScalarSelect, and_, case, delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    ConsentEvent,
    Customer,
    Frequency,
    Preference,
    Suppression,
    Wording,
)
from feedback_app.customers.services import SEALED_COLUMNS, Person, SealedCustomer, person
from feedback_app.customers.topics import Topic, english_wording
from feedback_app.db.store import rows_changed

BATCH = 1000
# How long a customer who has just unsubscribed may choose "less often" instead, by the same link.
SECOND_THOUGHTS = timedelta(days=1)
UNSUBSCRIBE_CHANNELS = (ConsentChannel.UNSUBSCRIBE_PAGE, ConsentChannel.ONE_CLICK)


@dataclass(frozen=True, slots=True)
class FrequencyChange:
    """A topic whose frequency has changed, before and after."""

    topic: Topic
    before: Frequency | None
    after: Frequency


def writable(topic: Topic, now: datetime) -> ColumnElement[bool]:
    """Return the rule as a condition: this row of `customers` may be written to about the topic now.

    A missing choice is a no, and so is the choice of a customer who has not proved that the address is theirs.
    """
    return and_(_reachable(now), _choice(topic) != Frequency.NEVER)


def allowed_frequency(topic: Topic, now: datetime) -> ColumnElement[Frequency | None]:
    """Return the same rule as a value: the chosen frequency; `never` or NULL where the rule says no."""
    return case((_reachable(now), _choice(topic)))


# Scalar subqueries, not EXISTS: PostgreSQL would turn that into a join of whole tables, for every batch.
def _choice(topic: Topic) -> ScalarSelect[Frequency]:
    chosen = select(Preference.frequency)
    return chosen.where(Preference.customer_id == Customer.id, Preference.topic == topic).scalar_subquery()


def _reachable(now: datetime) -> ColumnElement[bool]:
    barred = select(Suppression.reason).where(Suppression.fingerprint == Customer.fingerprint).scalar_subquery()
    return and_(Customer.confirmed_at.is_not(None), not_paused(now), barred.is_(None))


def not_paused(now: datetime) -> ColumnElement[bool]:
    """Return the part of the rule about pauses: a pause ends on the morning of its date (UTC)."""
    return or_(Customer.pause_until.is_(None), Customer.pause_until <= now.date())


def may_write_to(session: Session, customer: Customer, topic: Topic, *, now: datetime) -> bool:
    """Return whether a customer may be written to about a topic now."""
    return session.scalar(select(Customer.id).where(Customer.id == customer.id, writable(topic, now))) is not None


def audience(session: Session, topic: Topic, *, now: datetime) -> Iterator[Person]:
    """Yield everybody who may be written to about a topic, in order of id, with one batch in memory at a time."""
    return (one for one, _ in audience_with_frequencies(session, topic, now=now))


def audience_with_frequencies(session: Session, topic: Topic, *, now: datetime) -> Iterator[tuple[Person, Frequency]]:
    """Yield the same people, each with how often they want letters."""
    last: int | None = 0
    while last is not None:
        some, last = audience_page(session, topic, last, now=now)
        yield from some


def audience_page(
    session: Session, topic: Topic, after: int, *, now: datetime
) -> tuple[list[tuple[Person, Frequency]], int | None]:
    """Return the next page of them, and the id after which to continue; None after the last page."""
    # The page's ids are chosen before the rule is applied: otherwise the planner, guessing how many rows pass the rule,
    # may sort the whole table for every batch.
    page = select(Customer.id).where(Customer.id > after).order_by(Customer.id).limit(BATCH).subquery()
    end = session.scalar(select(func.max(page.c.id)))
    if end is None:
        return [], None
    query = select(*SEALED_COLUMNS, _choice(topic).label("frequency")).order_by(Customer.id)
    rows = session.execute(query.where(Customer.id > after, Customer.id <= end, writable(topic, now))).all()
    return [(person(session, SealedCustomer(*row)), row.frequency) for row in rows], end


def frequencies(session: Session, customer: Customer) -> dict[Topic, Frequency]:
    """Return what a customer chose, by topic; topics without a choice are absent."""
    rows = session.scalars(select(Preference).where(Preference.customer_id == customer.id))
    return {row.topic: row.frequency for row in rows}


def wording_hash(session: Session, text: str) -> bytes:
    """Store a wording once; return the hash by which events refer to it."""
    digest = hashlib.sha256(text.encode()).digest()
    if session.get(Wording, digest) is None:
        # Another transaction may store the same wording at this moment.
        with suppress(IntegrityError), session.begin_nested():
            session.add(Wording(hash=digest, text=text))
    return digest


def choose(
    session: Session,
    customer: Customer,
    topic: Topic,
    frequency: Frequency,
    *,
    channel: ConsentChannel,
    now: datetime,
    wording: str | None = None,
    given_at: datetime | None = None,
) -> FrequencyChange | None:
    """Save a customer's choice about a topic and add its line to the record. Returns None when nothing changed.

    `wording` is what the customer agreed to, in English unless it is given; `given_at` is when, if it was before now.

    Load the customer `with_for_update`: one choice of a customer at a time. A yes lifts a suppression, even when the
    same frequency was chosen before: the customer has just shown that the address is theirs and that they want letters.
    When a customer repeats on their own page a yes that came another way (an import's, say), the record gets
    a `confirmed`.
    """
    no, wording = frequency is Frequency.NEVER, wording or english_wording(topic)
    lifted = (
        0 if no else rows_changed(session, delete(Suppression).where(Suppression.fingerprint == customer.fingerprint))
    )
    row = session.get(Preference, (customer.id, topic))
    before = row.frequency if row else None
    if before is frequency:
        if not no and channel is ConsentChannel.FORM and (lifted or not _through_form(session, customer, topic)):
            action = ConsentAction.CONFIRMED
            _add_event(session, customer, topic, action, frequency, channel=channel, wording=wording, now=now)
        return None
    if row:
        row.frequency, row.changed_at = frequency, now
    else:
        session.add(Preference(customer_id=customer.id, topic=topic, frequency=frequency, changed_at=now))
    action = ConsentAction.WITHDRAWN if no else ConsentAction.GIVEN
    said_at = given_at or now
    _add_event(session, customer, topic, action, frequency, channel=channel, wording=wording, now=said_at)
    return FrequencyChange(topic, before, frequency)


def withdraw(
    session: Session,
    customer: Customer,
    topics: Iterable[Topic] | None = None,
    *,
    channel: ConsentChannel,
    now: datetime,
    wording_of: Callable[[Topic], str] = english_wording,
) -> None:
    """Record a no to these topics, or to all that the customer gets now. Load the customer `with_for_update`."""
    if topics is None:
        chosen = frequencies(session, customer)
        topics = [topic for topic, frequency in chosen.items() if frequency is not Frequency.NEVER]
    for topic in topics:
        choose(session, customer, topic, Frequency.NEVER, channel=channel, wording=wording_of(topic), now=now)


def confirm_subscription(
    session: Session,
    customer: Customer,
    topic: Topic,
    frequency: Frequency,
    *,
    wording: str,
    asked_at: datetime,
    now: datetime,
) -> bool:
    """Record a subscription that was typed on the blog and is now confirmed by a letter's link: two lines.

    Returns whether it is new. What was typed counts for nothing until it is confirmed, so it has no line before.
    """
    channel = ConsentChannel.SUBSCRIBE
    done = choose(session, customer, topic, frequency, channel=channel, wording=wording, now=now, given_at=asked_at)
    if done is None:
        return False
    action = ConsentAction.CONFIRMED
    _add_event(session, customer, topic, action, frequency, channel=channel, wording=wording, now=now)
    return True


def _through_form(session: Session, customer: Customer, topic: Topic) -> bool:
    """Return whether the last line of the record about a topic came from the customer's own page."""
    last = (
        select(ConsentEvent.channel)
        .where(ConsentEvent.customer_id == customer.id, ConsentEvent.topic == topic)
        .order_by(ConsentEvent.id.desc())
        .limit(1)
    )
    return session.scalar(last) is ConsentChannel.FORM


def recent_frequency(session: Session, customer: Customer, topic: Topic, *, now: datetime) -> Frequency:
    """Return how often a customer gets a topic; within a day of unsubscribing by a link, how often before that."""
    lines = session.scalars(
        select(ConsentEvent)
        .where(ConsentEvent.customer_id == customer.id, ConsentEvent.topic == topic)
        .order_by(ConsentEvent.id.desc())
        .limit(2)
    ).all()
    has = frequencies(session, customer).get(topic, Frequency.NEVER)
    if has is Frequency.NEVER and len(lines) > 1:
        no, before = lines
        if (
            no.action is ConsentAction.WITHDRAWN
            and no.channel in UNSUBSCRIBE_CHANNELS
            and now - no.at <= SECOND_THOUGHTS
        ):
            return before.frequency
    return has


def _add_event(
    session: Session,
    customer: Customer,
    topic: Topic,
    action: ConsentAction,
    frequency: Frequency,
    *,
    channel: ConsentChannel,
    wording: str,
    now: datetime,
) -> None:
    session.add(
        ConsentEvent(
            customer_id=customer.id,
            topic=topic,
            action=action,
            frequency=frequency,
            channel=channel,
            wording_hash=wording_hash(session, wording),
            at=now,
        )
    )


def history(session: Session, customer: Customer) -> list[ConsentEvent]:
    """Return a customer's consent record, oldest first."""
    query = select(ConsentEvent).where(ConsentEvent.customer_id == customer.id).order_by(ConsentEvent.id)
    return list(session.scalars(query))
