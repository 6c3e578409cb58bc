"""The ledger: one row a mailing and customer, written before a letter leaves and after its answer.

Every function takes the session; the entry point commits.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from sqlalchemy import Row, String, Update, bindparam, func, select, update
from sqlalchemy.orm import Session

from feedback_app.customers.consent import writable
from feedback_app.customers.models import Customer, LetterFormat, Preference, Suppression, Topic
from feedback_app.customers.services import SEALED, Sealed
from feedback_app.db import changed
from feedback_app.mailing import digests
from feedback_app.mailing.drafts import Draft
from feedback_app.mailing.models import IS_DEFERRED, LEFT_STATES, Delivery, DeliveryState, Mailing, MailingState
from feedback_app.mailing.outcomes import Answer, Outcome
from feedback_app.workers import Worker, alive

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=6)
PERSEVERANCE = timedelta(days=2)


class Reader(Sealed, Protocol):
    """What a claim knows of a customer."""

    format: LetterFormat


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker has taken: it stands as `submitting` and belongs to nobody else.

    `draft` is what a digest says to this customer; None where the mailing says the same to all. `waited` says that it
    had been deferred.
    """

    id: int
    customer: Reader
    draft: Draft | None
    waited: bool


@dataclass(frozen=True, slots=True)
class Window:
    """What a claim took, and how many rows it skipped on the way. `last` is the last row that nobody had tried yet."""

    claimed: list[Claimed]
    skipped: int
    draft: Draft | None = None
    last: int = 0


def deliveries(
    session: Session, mailing: Mailing, state: DeliveryState | None = None
) -> Iterable[tuple[Delivery, Customer | None]]:
    """A mailing's rows, with their customers where there still is one."""
    query = (
        select(Delivery, Customer)
        .outerjoin(Customer, Delivery.customer_id == Customer.id)
        .where(Delivery.mailing_id == mailing.id)
        .order_by(Delivery.id)
        .execution_options(yield_per=1000)
    )
    if state:
        query = query.where(Delivery.state == state)
    return ((row[0], row[1]) for row in session.execute(query))


def claim(
    session: Session,
    mailing_id: int,
    *,
    worker_id: str,
    most: int,
    daily_cap: int,
    now: datetime,
    fresh: int | None = None,
    after: int = 0,
    named: Callable[[int], str] | None = None,
) -> Window:
    """Take the next deliveries of a mailing for a worker, asking every customer's preference again.

    Once this is committed the rows are `submitting`: in doubt, if the worker is never heard of again. Rows of people
    who may not be written to any more are skipped, with the reason. Of rows that nobody has tried, at most `fresh` are
    looked at, first those `after` the last of the window before. `named` gives a customer's letter its identifier.
    """
    mailing = session.scalar(
        select(Mailing)
        .where(Mailing.id == mailing_id, Mailing.state == MailingState.SENDING)
        .with_for_update(read=True)
    )
    if mailing is None or most <= 0:
        return Window([], 0)
    rows = _next_rows(session, mailing_id, most=most, fresh=most if fresh is None else fresh, after=after, now=now)
    last = max((row.id for row in rows if not row.deferred), default=after)
    found = _readers(session, mailing, [row.customer_id for row in rows], locked=bool(daily_cap), now=now)
    welcome = [reader.id for reader in found.values() if reader.welcome]
    crowded = _crowded(session, welcome, daily_cap=daily_cap, now=now)
    said = digests.drafts(session, mailing, welcome) if mailing.digest is not None else {}
    claimed, skipped, put_off = [], dict[int, str](), []
    for row in rows:
        reader = found.get(row.customer_id)
        if reader is None:
            skipped[row.id] = "the customer was erased"
        elif not reader.welcome:
            skipped[row.id] = _why_not(session, reader.id, mailing.topic, now)
        elif mailing.digest is None and reader.frequency in digests.COLLECTED:
            skipped[row.id] = f"put off for the {reader.frequency} digest"
            put_off.append(row.id)
        elif reader.id in crowded:
            skipped[row.id] = "the customer has had today's letters"
        elif mailing.digest is not None and reader.id not in said:
            skipped[row.id] = "there is nothing in it for the customer any more"
        else:
            claimed.append(Claimed(row.id, cast("Reader", reader), said.get(reader.id), row.deferred))
    _run(session, _SKIP, [{"row": number, "why": why, "at": now} for number, why in skipped.items()])
    digests.put_off(session, put_off, now=now)
    taken = [(one.id, named(one.customer.id) if named else None) for one in claimed]
    _run(session, _TAKE, [{"row": number, "its_name": name, "by": worker_id, "at": now} for number, name in taken])
    draft = Draft(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, mailing.body)
    return Window(claimed, len(skipped), draft, last)


_BY_NUMBER = update(Delivery).where(Delivery.id == bindparam("row"))
_SKIP = _BY_NUMBER.values(state=DeliveryState.SKIPPED, reason=bindparam("why"), changed_at=bindparam("at"))
_TAKE = _BY_NUMBER.values(
    state=DeliveryState.SUBMITTING,
    reason=None,
    worker_id=bindparam("by"),
    message_id=func.coalesce(bindparam("its_name", type_=String), Delivery.message_id),
    attempts=Delivery.attempts + 1,
    changed_at=bindparam("at"),
)
_ACCEPT = _BY_NUMBER.values(
    state=DeliveryState.ACCEPTED, reason=bindparam("why"), worker_id=None, changed_at=bindparam("at")
)


def _run(session: Session, statement: Update, rows: list[dict[str, object]]) -> None:
    """Change rows, one by one in one go. Without the session's objects: they cost more than the database."""
    if rows:
        session.connection().execute(statement, rows)


def _next_rows(
    session: Session, mailing_id: int, *, most: int, fresh: int, after: int, now: datetime
) -> list[Row[int, int | None, bool]]:
    """The next rows that are due: those to be tried again, then those that nobody has tried.

    Two questions, each answered by an index of its own: of both in one, a database would sort all that waits.
    """
    columns = select(Delivery.id, Delivery.customer_id, (Delivery.state == DeliveryState.DEFERRED).label("deferred"))
    columns = columns.where(Delivery.mailing_id == mailing_id).with_for_update(skip_locked=True)
    due = columns.where(IS_DEFERRED, Delivery.next_try_at <= now).order_by(Delivery.next_try_at).limit(most)
    rows = list(session.execute(due))
    queued = columns.where(Delivery.state == DeliveryState.QUEUED).order_by(Delivery.id)
    # The rows behind are left out where they were done: on PostgreSQL what was changed stays in the index for a while.
    # They are asked for when there are no others: one that was taken back is queued again.
    for part in (Delivery.id > after, Delivery.id <= after) if after else (Delivery.id > 0,):
        wanted = min(fresh, most - len(rows))
        if wanted > 0:
            rows += session.execute(queued.where(part).limit(wanted))
    return rows


def _readers(
    session: Session, mailing: Mailing, numbers: Collection[int | None], *, locked: bool, now: datetime
) -> dict[int | None, Row[Any]]:
    """The customers of these numbers, with what they chose, in one question.

    Locked where letters are counted: two mailings' workers would otherwise both give the day's last one.
    """
    frequency = (
        select(Preference.frequency)
        .where(Preference.customer_id == Customer.id, Preference.topic == mailing.topic)
        .scalar_subquery()
        .label("frequency")
    )
    query = select(*SEALED, Customer.format, frequency, writable(mailing.topic, now).label("welcome"))
    query = query.where(Customer.id.in_([number for number in numbers if number is not None]))
    if locked:
        query = query.order_by(Customer.id).with_for_update(of=Customer, key_share=True)
    return {row.id: row for row in session.execute(query)}


def _why_not(session: Session, number: int, topic: Topic, now: datetime) -> str:
    customer = session.get_one(Customer, number)
    if session.get(Suppression, customer.fingerprint):
        return "the address is suppressed"
    if customer.pause_until and customer.pause_until > now.date():
        return "the customer has paused all letters"
    return f"the customer does not want {topic}"


def _crowded(session: Session, numbers: Sequence[int], *, daily_cap: int, now: datetime) -> set[int]:
    """The customers for whom another letter today would be one too many."""
    if not daily_cap:
        return set()
    had = (
        select(Delivery.customer_id)
        .where(
            Delivery.customer_id.in_(numbers),
            Delivery.state.in_(LEFT_STATES),
            Delivery.changed_at > now - timedelta(days=1),
        )
        .group_by(Delivery.customer_id)
        .having(func.count() >= daily_cap)
    )
    return {number for number in session.scalars(had) if number is not None}


def record(session: Session, answers: Mapping[int, Answer], *, now: datetime) -> None:
    """Write down what became of letters that were `submitting`, by their deliveries' numbers."""
    accepted = {number: one.words for number, one in answers.items() if one.outcome is Outcome.ACCEPTED}
    _run(session, _ACCEPT, [{"row": number, "why": words, "at": now} for number, words in accepted.items()])
    for number, answer in answers.items():
        if number not in accepted:
            _record_other(session, number, answer, now)


def _record_other(session: Session, number: int, answer: Answer, now: datetime) -> None:
    row = session.get_one(Delivery, number)
    mailing = _locked_mailing(session, row)
    row.changed_at, row.reason, row.worker_id = now, answer.words, None
    last_day = (mailing.started_at or now) + PERSEVERANCE
    match answer.outcome:
        case Outcome.FAILED:
            row.state = DeliveryState.FAILED
        case Outcome.UNKNOWN:
            row.state = DeliveryState.UNKNOWN
        case _:
            if answer.outcome is Outcome.NOT_SENT:
                row.attempts -= 1
            row.next_try_at = now + delay(row.attempts)
            if row.next_try_at > last_day and mailing.state is not MailingState.CANCELLED:
                row.state = DeliveryState.FAILED
                row.reason = f"gave up after two days: {answer.words}"
            else:
                _open_again(row, mailing, DeliveryState.DEFERRED)


def take_back(session: Session, numbers: Mapping[int, datetime | None], *, worker_id: str, now: datetime) -> None:
    """Put deliveries back that a worker claimed and did not send, some until their turn has come.

    What is not the worker's any more, because it was taken for gone, stays as it is.
    """
    for number, turn in numbers.items():
        row = session.get_one(Delivery, number)
        if row.state is not DeliveryState.SUBMITTING or row.worker_id != worker_id:
            continue
        row.changed_at, row.worker_id, row.next_try_at = now, None, turn
        row.attempts -= 1
        row.reason = "waits for its turn among the letters to its domain" if turn else None
        _open_again(row, _locked_mailing(session, row), DeliveryState.DEFERRED if turn else DeliveryState.QUEUED)


def _locked_mailing(session: Session, row: Delivery) -> Mailing:
    # Locked against a cancel at this moment: what it has not seen would stay as it is for ever.
    return session.get_one(Mailing, row.mailing_id, with_for_update={"read": True})


def _open_again(row: Delivery, mailing: Mailing, state: DeliveryState) -> None:
    """Let a delivery wait again, unless its mailing was cancelled meanwhile."""
    if mailing.state is MailingState.CANCELLED:
        row.state, row.reason = DeliveryState.SKIPPED, "cancelled"
        return
    row.state = state
    if mailing.state is MailingState.SENT:
        # A slow worker was given up, its letters in doubt, and the mailing ended; here it is again.
        mailing.state, mailing.ended_at = MailingState.SENDING, None


def delay(attempts: int) -> timedelta:
    """How long to wait before the next attempt: doubling, with some chance in it so that not all come at once."""
    wait = min(FIRST_DELAY * 2.0 ** min(max(attempts - 1, 0), 16), LONGEST_DELAY)
    return timedelta(seconds=wait.total_seconds() * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, guards nothing


def rescue(session: Session, *, now: datetime) -> int:
    """Call `unknown` what a worker that is gone had in flight. Somebody may have it: it is never resent by itself."""
    living = alive(session, now=now)
    return changed(
        session,
        update(Delivery)
        .where(
            Delivery.state == DeliveryState.SUBMITTING,
            Delivery.worker_id.is_not(None),  # lets the index of workers find the few
            Delivery.worker_id.not_in(living),
        )
        .values(
            state=DeliveryState.UNKNOWN,
            reason="the worker ended before the server's answer was written down",
            worker_id=None,
            changed_at=now,
        ),
    )


def mend_times(session: Session, *, now: datetime) -> int:
    """Bring back to now what was put off by a clock that ran ahead: nothing waits longer than the longest delay."""
    return changed(
        session,
        update(Delivery)
        .where(
            Delivery.mailing_id.in_(select(Mailing.id).where(Mailing.state == MailingState.SENDING)),
            IS_DEFERRED,
            Delivery.next_try_at > now + 2 * LONGEST_DELAY,
        )
        .values(next_try_at=now),
    )


def in_flight_elsewhere(session: Session, worker_id: str, *, since: datetime) -> int:
    """How many letters another worker has in flight that has not been heard of since a moment."""
    heard = select(Worker.id).where(Worker.beat_at > since)
    query = select(func.count()).where(
        Delivery.state == DeliveryState.SUBMITTING,
        Delivery.worker_id.is_not(None),  # for the index, as above
        Delivery.worker_id != worker_id,
        Delivery.worker_id.not_in(heard),
    )
    return session.scalar(query) or 0


def in_turn(session: Session, *, now: datetime) -> bool:
    """Whether something waits for nothing but its turn."""
    due = (Delivery.state == DeliveryState.QUEUED) | (
        (Delivery.state == DeliveryState.DEFERRED) & (Delivery.attempts == 0) & (Delivery.next_try_at <= now)
    )
    query = select(Delivery.id).join(Mailing).where(Mailing.state == MailingState.SENDING, due).limit(1)
    return session.scalar(query) is not None
