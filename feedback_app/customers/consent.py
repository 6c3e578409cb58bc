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
# How long somebody who has just left may say "less often" instead, by the same link.
SECOND_THOUGHTS = timedelta(days=1)
LEAVING = (ConsentChannel.UNSUBSCRIBE_PAGE, ConsentChannel.ONE_CLICK)


@dataclass(frozen=True, slots=True)
class FrequencyChange:
    """One topic whose frequency has changed."""

    topic: Topic
    before: Frequency | None
    after: Frequency


def writable(topic: Topic, now: datetime) -> ColumnElement[bool]:
    """The rule: this row of `customers` may be written to about the topic at this moment.

    A missing choice is a no, and so is a choice by somebody who has not shown that the address is theirs.
    """
    return and_(_reachable(now), _choice(topic) != Frequency.NEVER)


def allowed_frequency(topic: Topic, now: datetime) -> ColumnElement[Frequency | None]:
    """The same rule, and how often: what was chosen; never, or nothing, where the rule says no."""
    return case((_reachable(now), _choice(topic)))


# Look-ups of one value, not EXISTS: PostgreSQL would make those a join of whole tables, for every batch anew.
def _choice(topic: Topic) -> ScalarSelect[Frequency]:
    chosen = select(Preference.frequency)
    return chosen.where(Preference.customer_id == Customer.id, Preference.topic == topic).scalar_subquery()


def _reachable(now: datetime) -> ColumnElement[bool]:
    barred = select(Suppression.reason).where(Suppression.fingerprint == Customer.fingerprint).scalar_subquery()
    return and_(Customer.confirmed_at.is_not(None), not_paused(now), barred.is_(None))


def not_paused(now: datetime) -> ColumnElement[bool]:
    """Part of the rule: a pause ends on the morning of its date (UTC)."""
    return or_(Customer.pause_until.is_(None), Customer.pause_until <= now.date())


def may_write_to(session: Session, customer: Customer, topic: Topic, *, now: datetime) -> bool:
    """Whether a customer may be written to about a topic at this moment."""
    return session.scalar(select(Customer.id).where(Customer.id == customer.id, writable(topic, now))) is not None


def audience(session: Session, topic: Topic, *, now: datetime) -> Iterator[Person]:
    """Everybody who may be written to about a topic, in the order they came, a batch in memory at a time."""
    return (one for one, _ in audience_with_frequencies(session, topic, now=now))


def audience_with_frequencies(session: Session, topic: Topic, *, now: datetime) -> Iterator[tuple[Person, Frequency]]:
    """The same people, each with how often they want letters."""
    last: int | None = 0
    while last is not None:
        some, last = audience_page(session, topic, last, now=now)
        yield from some


def audience_page(
    session: Session, topic: Topic, after: int, *, now: datetime
) -> tuple[list[tuple[Person, Frequency]], int | None]:
    """The next of them, and after whom to go on; None when these were the last."""
    # The next rows are counted off before the rule is asked: a planner that guesses how many the rule lets through
    # would rather sort the whole table for every batch.
    page = select(Customer.id).where(Customer.id > after).order_by(Customer.id).limit(BATCH).subquery()
    end = session.scalar(select(func.max(page.c.id)))
    if end is None:
        return [], None
    query = select(*SEALED_COLUMNS, _choice(topic).label("frequency")).order_by(Customer.id)
    rows = session.execute(query.where(Customer.id > after, Customer.id <= end, writable(topic, now))).all()
    return [(person(session, SealedCustomer(*row)), row.frequency) for row in rows], end


def frequencies(session: Session, customer: Customer) -> dict[Topic, Frequency]:
    """What a customer chose, by topic; topics without a choice are absent."""
    rows = session.scalars(select(Preference).where(Preference.customer_id == customer.id))
    return {row.topic: row.frequency for row in rows}


def wording_hash(session: Session, text: str) -> bytes:
    """Keep a wording once; returns the hash by which events refer to it."""
    digest = hashlib.sha256(text.encode()).digest()
    if session.get(Wording, digest) is None:
        # Somebody else may keep the same wording at this moment.
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

    Load the customer `with_for_update`: one choice of a person's at a time. A yes lifts a suppression, even one that
    was chosen before: the person has just shown that the address is theirs and that they want letters. A yes that an
    import had given, and that its person now makes their own, is `confirmed` in the record.
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
    """A yes that was typed on the blog and that its person now confirms by a letter's link: both are lines.

    Returns whether it is new. What was typed counts for nothing before, and so has no line until now.
    """
    channel = ConsentChannel.SUBSCRIBE
    done = choose(session, customer, topic, frequency, channel=channel, wording=wording, now=now, given_at=asked_at)
    if done is None:
        return False
    action = ConsentAction.CONFIRMED
    _add_event(session, customer, topic, action, frequency, channel=channel, wording=wording, now=now)
    return True


def _through_form(session: Session, customer: Customer, topic: Topic) -> bool:
    """Whether the last line of the record about a topic came from the person's own page."""
    last = (
        select(ConsentEvent.channel)
        .where(ConsentEvent.customer_id == customer.id, ConsentEvent.topic == topic)
        .order_by(ConsentEvent.id.desc())
        .limit(1)
    )
    return session.scalar(last) is ConsentChannel.FORM


def recent_frequency(session: Session, customer: Customer, topic: Topic, *, now: datetime) -> Frequency:
    """What somebody gets of a topic; after a no of the last day, by a letter's own link, what they got before it."""
    lines = session.scalars(
        select(ConsentEvent)
        .where(ConsentEvent.customer_id == customer.id, ConsentEvent.topic == topic)
        .order_by(ConsentEvent.id.desc())
        .limit(2)
    ).all()
    has = frequencies(session, customer).get(topic, Frequency.NEVER)
    if has is Frequency.NEVER and len(lines) > 1:
        no, before = lines
        if no.action is ConsentAction.WITHDRAWN and no.channel in LEAVING and now - no.at <= SECOND_THOUGHTS:
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
    """A customer's record, oldest first."""
    query = select(ConsentEvent).where(ConsentEvent.customer_id == customer.id).order_by(ConsentEvent.id)
    return list(session.scalars(query))
