"""The ledger: one row a mailing and customer, written before a letter leaves and after its answer.

Every function takes the session; the entry point commits. What is asked for every window is content with the driver.
"""

import random
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from feedback_app.customers.models import Customer
from feedback_app.db.bulk import update_many
from feedback_app.db.prepared import Driver, session_of
from feedback_app.db.store import rows_changed
from feedback_app.heartbeats import Worker, alive
from feedback_app.mailing.models import IS_DEFERRED, ROWS, Delivery, DeliveryState, Mailing, MailingState
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.words import CANCELLED

FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=6)
PERSEVERANCE = timedelta(days=2)
# Of the others no letter is on its way. So an index finds the few of each mailing, however many have left.
_MAY_BE_UNDER_WAY = (MailingState.SENDING, MailingState.HALTED, MailingState.CANCELLED)
_IN_FLIGHT = (
    Delivery.mailing_id.in_(select(Mailing.id).where(Mailing.state.in_(_MAY_BE_UNDER_WAY))),
    Delivery.state == DeliveryState.SUBMITTING,
)


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


def record(at: Session | Driver, answers: Mapping[int, Answer], *, now: datetime) -> None:
    """Write down what became of letters that were `submitting`, by their deliveries' numbers. Raises NeedsSession."""
    # Named once: Python looks an enum's member up anew each time.
    taken = Outcome.ACCEPTED
    accepted = {number: answer.words for number, answer in answers.items() if answer.outcome is taken}
    columns: dict[str, list[int] | list[str]] = {"id": list(accepted), "reason": list(accepted.values())}
    update_many(at, ROWS, columns, state=DeliveryState.ACCEPTED, worker_id=None, changed_at=now)
    if len(accepted) < len(answers):
        for number, answer in answers.items():
            if answer.outcome is not taken:
                _record_other(session_of(at), number, answer, now)


def _record_other(session: Session, number: int, answer: Answer, now: datetime) -> None:
    row = session.get_one(Delivery, number)
    mailing = _locked_mailing(session, row)
    row.changed_at, row.reason, row.worker_id = now, answer.words, None
    match answer.outcome:
        case Outcome.FAILED:
            row.state = DeliveryState.FAILED
        case Outcome.UNKNOWN:
            row.state = DeliveryState.UNKNOWN
        case _:
            if answer.outcome is Outcome.NOT_SENT:
                row.attempts -= 1
            row.next_try_at = now + delay(row.attempts)
            # Not from a moment that is still to come: the clock was put back since.
            row.deferred_since = min(row.deferred_since or now, now)
            if row.next_try_at > row.deferred_since + PERSEVERANCE and mailing.state is not MailingState.CANCELLED:
                row.state = DeliveryState.FAILED
                row.reason = f"gave up after two days: {answer.words}"
            else:
                _open_again(row, mailing, DeliveryState.DEFERRED)


def take_back(at: Session | Driver, numbers: Mapping[int, datetime | None], *, worker_id: str, now: datetime) -> None:
    """Put deliveries back that a worker claimed and did not send, some until their turn has come.

    What is not the worker's any more, because it was taken for gone, stays as it is. Raises NeedsSession.
    """
    for number, turn in numbers.items():
        session = session_of(at)
        row = session.get_one(Delivery, number)
        if row.state is not DeliveryState.SUBMITTING or row.worker_id != worker_id:
            continue
        row.changed_at, row.worker_id, row.next_try_at = now, None, turn
        row.attempts -= 1
        row.reason = "waits for its turn among the letters to its domain" if turn else None
        _open_again(row, _locked_mailing(session, row), DeliveryState.DEFERRED if turn else DeliveryState.QUEUED)


def take_all_back(session: Session, *, worker_id: str, now: datetime) -> None:
    """Put back whatever a worker has in flight, which knows that it has sent nothing of it."""
    query = select(Delivery.id).where(*_IN_FLIGHT, Delivery.worker_id == worker_id)
    take_back(session, dict.fromkeys(session.scalars(query)), worker_id=worker_id, now=now)


def _locked_mailing(session: Session, row: Delivery) -> Mailing:
    # Locked against a cancel at this moment: what it has not seen would stay as it is for ever.
    return session.get_one(Mailing, row.mailing_id, with_for_update={"read": True})


def _open_again(row: Delivery, mailing: Mailing, state: DeliveryState) -> None:
    """Let a delivery wait again, unless its mailing was cancelled meanwhile."""
    if mailing.state is MailingState.CANCELLED:
        row.state, row.reason = DeliveryState.SKIPPED, CANCELLED
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


def mend_times(session: Session, *, now: datetime) -> int:
    """Bring back to now what was put off by a clock that ran ahead: nothing waits longer than the longest delay."""
    return rows_changed(
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
        *_IN_FLIGHT,
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
