"""The ledger: one row a mailing and customer, written before a letter leaves and after its answer.

Every function takes the session; the entry point commits.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from feedback_app.customers.consent import writable
from feedback_app.customers.models import Customer, Suppression, Topic
from feedback_app.db import changed
from feedback_app.mailing import digests
from feedback_app.mailing.drafts import Draft
from feedback_app.mailing.models import LEFT_STATES, Delivery, DeliveryState, Mailing, MailingState
from feedback_app.mailing.outcomes import Answer, Outcome
from feedback_app.workers import alive

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=6)
PERSEVERANCE = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker has taken: it stands as `submitting` and belongs to nobody else.

    `draft` is what a digest says to this customer; None where the mailing says the same to all.
    """

    delivery: Delivery
    customer: Customer
    draft: Draft | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """What a claim took, and how many rows it skipped on the way."""

    claimed: list[Claimed]
    skipped: int


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


def claim(session: Session, mailing_id: int, *, worker_id: str, most: int, daily_cap: int, now: datetime) -> Window:
    """Take the next deliveries of a mailing for a worker, asking every customer's preference again.

    Once this is committed the rows are `submitting`: in doubt, if the worker is never heard of again. Rows of people
    who may not be written to any more are skipped, with the reason.
    """
    mailing = session.scalar(
        select(Mailing)
        .where(Mailing.id == mailing_id, Mailing.state == MailingState.SENDING)
        .with_for_update(read=True)
    )
    if mailing is None:
        return Window([], 0)
    query = (
        select(Delivery)
        .where(
            Delivery.mailing_id == mailing.id,
            (Delivery.state == DeliveryState.QUEUED)
            | ((Delivery.state == DeliveryState.DEFERRED) & (Delivery.next_try_at <= now)),
        )
        .order_by(Delivery.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    rows = list(session.scalars(query))
    numbers = [row.customer_id for row in rows]
    customers = {one.id: one for one in session.scalars(select(Customer).where(Customer.id.in_(numbers)))}
    welcome = set(session.scalars(select(Customer.id).where(Customer.id.in_(numbers), writable(mailing.topic, now))))
    crowded = _crowded(session, list(welcome), daily_cap=daily_cap, now=now)
    rare = digests.rarely(session, welcome, mailing)
    said = digests.drafts(session, mailing, welcome) if mailing.digest is not None else {}
    claimed = []
    for row in rows:
        row.changed_at = now
        customer = customers.get(row.customer_id) if row.customer_id is not None else None
        if customer is None:
            row.state, row.reason = DeliveryState.SKIPPED, "the customer was erased"
        elif customer.id not in welcome:
            row.state, row.reason = DeliveryState.SKIPPED, _why_not(session, customer, mailing.topic, now)
        elif customer.id in rare:
            digests.put_off(session, row, rare[customer.id], now=now)
        elif customer.id in crowded:
            row.state, row.reason = DeliveryState.SKIPPED, "the customer has had today's letters"
        elif mailing.digest is not None and customer.id not in said:
            row.state, row.reason = DeliveryState.SKIPPED, "there is nothing in it for the customer any more"
        else:
            row.state, row.reason, row.worker_id = DeliveryState.SUBMITTING, None, worker_id
            row.attempts += 1
            claimed.append(Claimed(row, customer, said.get(customer.id)))
    return Window(claimed, len(rows) - len(claimed))


def _why_not(session: Session, customer: Customer, topic: Topic, now: datetime) -> str:
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


def record(session: Session, delivery_id: int, answer: Answer, *, now: datetime) -> None:
    """Write down what became of a letter that was `submitting`."""
    row = session.get_one(Delivery, delivery_id)
    # Locked against a cancel at this moment: what it has not seen would stay as it is for ever.
    mailing = session.get_one(Mailing, row.mailing_id, with_for_update={"read": True})
    row.changed_at, row.reason, row.worker_id = now, answer.words, None
    last_day = (mailing.started_at or now) + PERSEVERANCE
    match answer.outcome:
        case Outcome.ACCEPTED:
            row.state = DeliveryState.ACCEPTED
        case Outcome.FAILED:
            row.state = DeliveryState.FAILED
        case Outcome.UNKNOWN:
            row.state = DeliveryState.UNKNOWN
        case Outcome.DEFERRED | Outcome.NOT_SENT:
            if answer.outcome is Outcome.NOT_SENT:
                row.attempts -= 1
            row.next_try_at = now + delay(row.attempts)
            if mailing.state is MailingState.CANCELLED:
                row.state, row.reason = DeliveryState.SKIPPED, "cancelled"
            elif row.next_try_at > last_day:
                row.state = DeliveryState.FAILED
                row.reason = f"gave up after two days: {answer.words}"
            else:
                row.state = DeliveryState.DEFERRED
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
