"""How many customers there are for what, how many came and went, and why: numbers, and never a person."""

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
OFTEN = (Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY)


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """How many said yes to a topic in a month, and how many said no again; `start` is its first moment (UTC)."""

    start: datetime
    joined: int
    left: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the owner sees of all customers together."""

    known: int
    reached: dict[Topic, dict[Frequency, int]]
    months: dict[Topic, list[MonthFigures]]
    left_through: dict[ConsentChannel, int]
    barred: dict[SuppressionReason, int]


def figures(session: Session, *, now: datetime) -> Figures:
    """The numbers of this moment, and of the last twelve months."""
    starts = _months(now)
    return Figures(
        known=session.scalar(select(func.count()).select_from(Customer)) or 0,
        reached={topic: _reached(session, topic, now) for topic in Topic},
        months={topic: _came_and_went(session, topic, starts, now) for topic in Topic},
        left_through=_left_through(session, starts[0]),
        barred=_barred(session),
    )


def _months(now: datetime) -> list[datetime]:
    """The first moments of the last twelve months, this one last."""
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
    return {frequency: found.get(frequency, 0) for frequency in OFTEN}


def _came_and_went(session: Session, topic: Topic, starts: Sequence[datetime], now: datetime) -> list[MonthFigures]:
    # Whoever changes how often has neither come nor gone: only a line after its opposite counts, or a first yes.
    before = func.lag(ConsentEvent.action).over(partition_by=ConsentEvent.customer_id, order_by=ConsentEvent.id)
    lines = (
        select(ConsentEvent.at.label("at"), ConsentEvent.action.label("action"), before.label("before"))
        .where(ConsentEvent.topic == topic)
        .subquery()
    )
    no = ConsentAction.WITHDRAWN
    joined = and_(lines.c.action != no, or_(lines.c.before.is_(None), lines.c.before == no))
    left = and_(lines.c.action == no, lines.c.before != no)
    ends = [*starts[1:], now + timedelta(seconds=1)]
    spans = [and_(lines.c.at >= start, lines.c.at < end) for start, end in zip(starts, ends, strict=True)]
    row = session.execute(select(*(_count(and_(span, what)) for span in spans for what in (joined, left)))).one()
    numbers = [number or 0 for number in row]
    return [MonthFigures(start, numbers[2 * place], numbers[2 * place + 1]) for place, start in enumerate(starts)]


def _count(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((which, 1), else_=0))


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
