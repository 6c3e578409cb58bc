"""The ledger: one row a mailing and customer, committed before a letter leaves and again after its answer.

Every function takes a session; the entry point commits.
"""

import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from feedback_app.customers.models import Customer
from feedback_app.db.bulk import update_many
from feedback_app.db.store import rows_changed
from feedback_app.heartbeats import Worker, alive
from feedback_app.mailing.models import DELIVERIES, IS_DEFERRED, Delivery, DeliveryState, Mailing, MailingState
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.words import CANCELLED

FIRST_RETRY_DELAY = timedelta(minutes=5)
LONGEST_RETRY_DELAY = timedelta(hours=6)
GIVE_UP_AFTER = timedelta(days=2)
# No mailing in another state has a letter in flight. Naming the states lets an index find the few rows of each mailing,
# however many letters have left.
_MAY_HAVE_LETTERS_IN_FLIGHT = (MailingState.SENDING, MailingState.HALTED, MailingState.CANCELLED)
_IN_FLIGHT = (
    Delivery.mailing_id.in_(select(Mailing.id).where(Mailing.state.in_(_MAY_HAVE_LETTERS_IN_FLIGHT))),
    Delivery.state == DeliveryState.SUBMITTING,
)


def deliveries(
    session: Session, mailing: Mailing, state: DeliveryState | None = None
) -> Iterable[tuple[Delivery, Customer | None]]:
    """Return a mailing's rows, each with its customer, or None where the customer was erased."""
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


def record_answers(session: Session, answers: Mapping[int, Answer], *, now: datetime) -> None:
    """Record the servers' answers to letters that were `submitting`, by delivery id."""
    accepted = {number: answer.words for number, answer in answers.items() if answer.outcome is Outcome.ACCEPTED}
    update_many(
        session,
        DELIVERIES,
        {"id": list(accepted), "reason": list(accepted.values())},
        state=DeliveryState.ACCEPTED,
        worker_id=None,
        changed_at=now,
    )
    for number, answer in answers.items():
        if number not in accepted:
            _record_other_answer(session, number, answer, now)


def _record_other_answer(session: Session, delivery_id: int, answer: Answer, now: datetime) -> None:
    delivery = session.get_one(Delivery, delivery_id)
    mailing = _locked_mailing(session, delivery)
    delivery.changed_at, delivery.reason, delivery.worker_id = now, answer.words, None
    match answer.outcome:
        case Outcome.FAILED:
            delivery.state = DeliveryState.FAILED
        case Outcome.UNKNOWN:
            delivery.state = DeliveryState.UNKNOWN
        case _:
            if answer.outcome is Outcome.NOT_SENT:
                delivery.attempts -= 1
            delivery.next_try_at = now + retry_delay(delivery.attempts)
            # `min`: a moment in the future was noted before the clock was put back.
            delivery.deferred_since = min(delivery.deferred_since or now, now)
            is_too_late = delivery.next_try_at > delivery.deferred_since + GIVE_UP_AFTER
            if is_too_late and mailing.state is not MailingState.CANCELLED:
                delivery.state = DeliveryState.FAILED
                delivery.reason = f"gave up after two days: {answer.words}"
            else:
                _reopen(delivery, mailing, DeliveryState.DEFERRED)


def requeue(session: Session, next_tries: Mapping[int, datetime | None], *, worker_id: str, now: datetime) -> None:
    """Put deliveries back that a worker claimed and did not send: queued, or deferred until their next try.

    A delivery that is no longer this worker's, because the worker was taken for dead, stays as it is.
    """
    for number, next_try_at in next_tries.items():
        delivery = session.get_one(Delivery, number)
        if delivery.state is not DeliveryState.SUBMITTING or delivery.worker_id != worker_id:
            continue
        delivery.changed_at, delivery.worker_id, delivery.next_try_at = now, None, next_try_at
        delivery.attempts -= 1
        delivery.reason = "waits for its turn among the letters to its domain" if next_try_at else None
        state = DeliveryState.DEFERRED if next_try_at else DeliveryState.QUEUED
        _reopen(delivery, _locked_mailing(session, delivery), state)


def requeue_unsent_claims(session: Session, *, worker_id: str, now: datetime) -> None:
    """Put back every delivery that a worker has in flight in the ledger. The worker must have sent none of them."""
    query = select(Delivery.id).where(*_IN_FLIGHT, Delivery.worker_id == worker_id)
    requeue(session, dict.fromkeys(session.scalars(query)), worker_id=worker_id, now=now)


def _locked_mailing(session: Session, delivery: Delivery) -> Mailing:
    # Locked against a cancel at this moment, which would not see the delivery: it would stay open for ever.
    return session.get_one(Mailing, delivery.mailing_id, with_for_update={"read": True})


def _reopen(delivery: Delivery, mailing: Mailing, state: DeliveryState) -> None:
    """Let a delivery wait again in this state, unless its mailing was cancelled meanwhile."""
    if mailing.state is MailingState.CANCELLED:
        delivery.state, delivery.reason = DeliveryState.SKIPPED, CANCELLED
        return
    delivery.state = state
    if mailing.state is MailingState.SENT:
        # A slow worker was taken for dead, its letters called unknown, and the mailing ended; now it has reported back.
        mailing.state, mailing.ended_at = MailingState.SENDING, None


def retry_delay(attempts: int) -> timedelta:
    """Return how long to wait before the next attempt: doubling, and varied at random so that retries spread out."""
    delay = min(FIRST_RETRY_DELAY * 2.0 ** min(max(attempts - 1, 0), 16), LONGEST_RETRY_DELAY)
    return timedelta(seconds=delay.total_seconds() * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, guards nothing


def mark_lost_letters_unknown(session: Session, *, now: datetime) -> int:
    """Call `unknown` the letters that a dead worker had in flight; return how many.

    A customer may have got such a letter, so it is never sent again by itself.
    """
    living = alive(session, now=now)
    return rows_changed(
        session,
        update(Delivery)
        .where(
            *_IN_FLIGHT,
            Delivery.worker_id.not_in(living),
        )
        .values(
            state=DeliveryState.UNKNOWN,
            reason="the worker ended before the server's answer was written down",
            worker_id=None,
            changed_at=now,
        ),
    )


def correct_retry_times(session: Session, *, now: datetime) -> int:
    """Retry at once what was deferred by a clock that ran ahead: nothing waits longer than the longest delay."""
    return rows_changed(
        session,
        update(Delivery)
        .where(
            Delivery.mailing_id.in_(select(Mailing.id).where(Mailing.state == MailingState.SENDING)),
            IS_DEFERRED,
            Delivery.next_try_at > now + 2 * LONGEST_RETRY_DELAY,
        )
        .values(next_try_at=now),
    )


def in_flight_elsewhere(session: Session, worker_id: str, *, since: datetime) -> int:
    """Return how many letters other workers have in flight that have sent no heartbeat since a moment."""
    beating = select(Worker.id).where(Worker.beat_at > since)
    query = select(func.count()).where(
        *_IN_FLIGHT,
        Delivery.worker_id != worker_id,
        Delivery.worker_id.not_in(beating),
    )
    return session.scalar(query) or 0


def waits_for_send_rate(session: Session, *, now: datetime) -> bool:
    """Return whether a letter waits for nothing but the send rates."""
    due = (Delivery.state == DeliveryState.QUEUED) | (
        (Delivery.state == DeliveryState.DEFERRED) & (Delivery.attempts == 0) & (Delivery.next_try_at <= now)
    )
    query = select(Delivery.id).join(Mailing).where(Mailing.state == MailingState.SENDING, due).limit(1)
    return session.scalar(query) is not None
