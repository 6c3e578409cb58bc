"""Figures about all customers: how many can be written to, how many joined and left, and why. Never a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from feedback_app.customers.consent import writable
from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    ConsentEvent,
    Customer,
    Frequency,
    Preference,
    Suppression,
    SuppressionReason,
)
from feedback_app.customers.topics import Topic

MONTHS = 12
SENDING = (Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY)


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """How many customers joined and left a topic in a month; `start` is the month's first moment (UTC)."""

    start: datetime
    joined: int
    left: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of the customers page. `known` counts addresses, `reached` those that may be written to now."""

    known: int
    reached: dict[Topic, dict[Frequency, int]]
    months: dict[Topic, list[MonthFigures]]
    left_through: dict[ConsentChannel, int]
    barred: dict[SuppressionReason, int]


def figures(session: Session, *, now: datetime) -> Figures:
    """Return the figures of this moment and of the last twelve months."""
    starts = _month_starts(now)
    return Figures(
        known=session.scalar(select(func.count()).select_from(Customer)) or 0,
        reached={topic: _reached(session, topic, now) for topic in Topic},
        months={topic: _joined_and_left(session, topic, starts, now) for topic in Topic},
        left_through=_left_through(session, starts[0]),
        barred=_barred(session),
    )


def _month_starts(now: datetime) -> list[datetime]:
    """Return the first moments of the last twelve months, the current month last."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts = [start]
    for _ in range(MONTHS - 1):
        start = (start - timedelta(days=1)).replace(day=1)
        starts.append(start)
    return starts[::-1]


def _reached(session: Session, topic: Topic, now: datetime) -> dict[Frequency, int]:
    chosen = (
        select(Preference.frequency)
        .where(Preference.customer_id == Customer.id, Preference.topic == topic)
        .scalar_subquery()
    )
    people = select(chosen.label("frequency")).where(writable(topic, now)).subquery()
    query = select(people.c.frequency, func.count()).group_by(people.c.frequency)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {frequency: found.get(frequency, 0) for frequency in SENDING}


def _joined_and_left(session: Session, topic: Topic, starts: Sequence[datetime], now: datetime) -> list[MonthFigures]:
    # A customer who only changes the frequency neither joins nor leaves: an event counts if it is a first yes, or the
    # opposite of the event before it.
    before = func.lag(ConsentEvent.action).over(partition_by=ConsentEvent.customer_id, order_by=ConsentEvent.id)
    events = (
        select(ConsentEvent.at.label("at"), ConsentEvent.action.label("action"), before.label("before"))
        .where(ConsentEvent.topic == topic)
        .subquery()
    )
    no = ConsentAction.WITHDRAWN
    joined = and_(events.c.action != no, or_(events.c.before.is_(None), events.c.before == no))
    left = and_(events.c.action == no, events.c.before != no)
    ends = [*starts[1:], now + timedelta(seconds=1)]
    spans = [and_(events.c.at >= start, events.c.at < end) for start, end in zip(starts, ends, strict=True)]
    row = session.execute(select(*(_count(and_(span, change)) for span in spans for change in (joined, left)))).one()
    counts = [count or 0 for count in row]
    return [MonthFigures(start, counts[2 * index], counts[2 * index + 1]) for index, start in enumerate(starts)]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _left_through(session: Session, since: datetime) -> dict[ConsentChannel, int]:
    query = (
        select(ConsentEvent.channel, func.count())
        .where(ConsentEvent.action == ConsentAction.WITHDRAWN, ConsentEvent.at >= since)
        .group_by(ConsentEvent.channel)
    )
    found = {row[0]: row[1] for row in session.execute(query)}
    return {channel: found[channel] for channel in ConsentChannel if channel in found}


def _barred(session: Session) -> dict[SuppressionReason, int]:
    query = select(Suppression.reason, func.count()).group_by(Suppression.reason)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {reason: found[reason] for reason in SuppressionReason if reason in found}
