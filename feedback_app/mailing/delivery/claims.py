"""Claims: the next ledger rows that a worker takes, after asking every customer's preference again."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, bindparam, func, select
from sqlalchemy.orm import Session

from feedback_app.customers.consent import allowed_frequency
from feedback_app.customers.digest_schedule import COLLECTED
from feedback_app.customers.models import Customer, Suppression
from feedback_app.customers.services import SEALED_COLUMNS, SealedCustomer
from feedback_app.customers.topics import Topic
from feedback_app.db.bulk import update_many
from feedback_app.mailing import words
from feedback_app.mailing.mailings import digests
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import (
    DELIVERIES,
    IS_DEFERRED,
    LEFT_STATES,
    Delivery,
    DeliveryState,
    Mailing,
    MailingState,
)

# When the daily cap is reached, a digest is tried again after this delay, until its mailing is this old.
DAILY_CAP_RETRY_DELAY, DAILY_CAP_RETRY_SPAN = timedelta(hours=6), timedelta(days=2)
# The statements of every batch are built once, so that SQLAlchemy finds their compiled form without looking at them.
_SENDING_MAILING = (
    select(Mailing.slug, Mailing.topic, Mailing.subject, Mailing.nameless, Mailing.body, Mailing.digest)
    .where(Mailing.id == bindparam("mailing_id"), Mailing.state == MailingState.SENDING)
    .with_for_update(read=True)
)
_ROWS = (
    select(Delivery.id, Delivery.customer_id, Delivery.attempts)
    .where(Delivery.mailing_id == bindparam("mailing_id"))
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_DEFERRED_ROWS = _ROWS.where(IS_DEFERRED, Delivery.next_try_at <= bindparam("now")).order_by(Delivery.next_try_at)
_QUEUED_ROWS = _ROWS.where(Delivery.state == DeliveryState.QUEUED).order_by(Delivery.id)
_QUEUED_ROWS_AFTER = _QUEUED_ROWS.where(Delivery.id > bindparam("after_id"))
_QUEUED_ROWS_UP_TO = _QUEUED_ROWS.where(Delivery.id <= bindparam("after_id"))

# A ledger row's id, its customer's id, and its attempts.
_LedgerRow = Row[int, int | None, int]


class ClaimedDelivery(NamedTuple):
    """A delivery that this worker has claimed: it is `submitting`, and no other worker takes it.

    `source` is the text of a digest, which differs by customer; None where all customers get the mailing's own text.
    `was_deferred` says that its letter had been put off before.
    """

    id: int
    customer: SealedCustomer
    source: MailingSource | None
    was_deferred: bool
    message_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The deliveries of one claim; how many rows it skipped; and the last row id that was claimed for the first time.

    `source` is the mailing's text; None where nothing was claimed.
    """

    claimed: list[ClaimedDelivery]
    skipped: int
    source: MailingSource | None = None
    last_id: int = 0


@dataclass(slots=True)
class _Decisions:
    """What becomes of the rows of a batch."""

    claimed: list[ClaimedDelivery] = field(default_factory=list)
    # The number of attempts that each claimed row has now.
    attempts: list[int] = field(default_factory=list)
    # Row ids with the reason.
    skipped: dict[int, str] = field(default_factory=dict)
    # Some of the skipped: their customers get the text in a digest.
    for_digest: list[int] = field(default_factory=list)
    postponed: list[int] = field(default_factory=list)


def claim_batch(
    session: Session,
    mailing_id: int,
    *,
    worker_id: str,
    limit: int,
    daily_cap: int,
    now: datetime,
    message_id_for: Callable[[int], str],
    untried_limit: int | None = None,
    after_id: int = 0,
) -> Batch:
    """Claim the next deliveries of a mailing for a worker, asking every customer's preference again.

    Once this is committed the rows are `submitting`: in doubt, should the worker end without a word. Rows of customers
    who may not be written to any more are skipped, with the reason. At most `untried_limit` rows that were never tried
    are looked at; those after `after_id`, the last row of the batch before, come first. `message_id_for` returns the
    Message-ID of a customer's letter.
    """
    mailing = session.execute(_SENDING_MAILING, {"mailing_id": mailing_id}).one_or_none()
    if mailing is None or limit <= 0:
        return Batch([], 0)
    digest = session.get_one(Mailing, mailing_id) if mailing.digest else None
    deferred = _deferred_rows(session, mailing_id, limit=limit, now=now)
    room = limit - len(deferred)
    queued = _queued_rows(
        session, mailing_id, limit=room if untried_limit is None else min(untried_limit, room), after_id=after_id
    )
    decisions = _decide(
        session,
        [*deferred, *queued],
        topic=mailing.topic,
        digest=digest,
        daily_cap=daily_cap,
        message_id_for=message_id_for,
        deferred={row.id for row in deferred},
        now=now,
    )
    _write(session, decisions, worker_id=worker_id, now=now)
    return Batch(
        decisions.claimed,
        len(decisions.skipped) + len(decisions.postponed),
        MailingSource(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, mailing.body),
        max((row.id for row in queued), default=after_id),
    )


def is_sending(session: Session, mailing_id: int) -> bool:
    """Return whether a mailing's letters may leave: it was neither cancelled nor halted."""
    return session.scalar(select(Mailing.state).where(Mailing.id == mailing_id)) is MailingState.SENDING


def _deferred_rows(session: Session, mailing_id: int, *, limit: int, now: datetime) -> Sequence[_LedgerRow]:
    return session.execute(_DEFERRED_ROWS, {"mailing_id": mailing_id, "now": now, "limit": limit}).all()


def _queued_rows(session: Session, mailing_id: int, *, limit: int, after_id: int) -> Sequence[_LedgerRow]:
    """Return the next rows that were never tried.

    Rows up to `after_id` are mostly done, and on PostgreSQL a row that was changed stays in the index for a while: so
    they are asked for only when no others are left. A delivery that was requeued is among them.
    """
    rows: list[_LedgerRow] = []
    for statement in (_QUEUED_ROWS_AFTER, _QUEUED_ROWS_UP_TO) if after_id else (_QUEUED_ROWS_AFTER,):
        if limit > len(rows):
            values = {"mailing_id": mailing_id, "after_id": after_id, "limit": limit - len(rows)}
            rows += session.execute(statement, values).all()
    return rows


def _decide(
    session: Session,
    rows: Sequence[_LedgerRow],
    *,
    topic: Topic,
    digest: Mailing | None,
    daily_cap: int,
    message_id_for: Callable[[int], str],
    deferred: Collection[int],
    now: datetime,
) -> _Decisions:
    """Decide for every row whether its letter may leave now. Preferences are asked anew."""
    customers = _customers(
        session, topic, [row.customer_id for row in rows if row.customer_id is not None], daily_cap, now
    )
    welcoming = [number for number, customer in customers.items() if customer.wants_letters]
    capped = _at_daily_cap(session, welcoming, daily_cap=daily_cap, now=now)
    sources = digests.sources(session, digest, welcoming) if digest else {}
    decisions = _Decisions()
    for delivery_id, customer_id, attempts in rows:
        customer = customers.get(customer_id) if customer_id is not None else None
        if customer is None:
            decisions.skipped[delivery_id] = "the customer was erased"
        elif not customer.wants_letters:
            decisions.skipped[delivery_id] = _why_not(session, customer.id, topic, now)
            if digest:
                # A customer who paused during the hold gets it in the next digest; after a no it is in none.
                digests.leave_for_next(session, digest, customer.id)
        elif not digest and customer.frequency in COLLECTED:
            decisions.skipped[delivery_id] = words.PUT_OFF[customer.frequency]
            decisions.for_digest.append(delivery_id)
        elif customer.id in capped:
            if digest and _is_tried_again(session, digest, customer.id, now):
                decisions.postponed.append(delivery_id)
            else:
                decisions.skipped[delivery_id] = words.DAILY_CAP_REACHED
        elif digest and customer.id not in sources:
            decisions.skipped[delivery_id] = words.NOTHING_LEFT
        else:
            source, message_id = sources.get(customer.id), message_id_for(customer.id)
            decisions.claimed.append(
                ClaimedDelivery(delivery_id, customer, source, delivery_id in deferred, message_id)
            )
            decisions.attempts.append(attempts + 1)
    return decisions


def _write(session: Session, decisions: _Decisions, *, worker_id: str, now: datetime) -> None:
    """Write the decisions into the ledger."""
    update_many(
        session,
        DELIVERIES,
        {"id": list(decisions.skipped), "reason": list(decisions.skipped.values())},
        state=DeliveryState.SKIPPED,
        changed_at=now,
    )
    update_many(
        session,
        DELIVERIES,
        {"id": decisions.postponed},
        state=DeliveryState.DEFERRED,
        reason=words.DAILY_CAP_REACHED,
        next_try_at=now + DAILY_CAP_RETRY_DELAY,
        changed_at=now,
    )
    digests.collect(session, decisions.for_digest, now=now)
    update_many(
        session,
        DELIVERIES,
        {
            "id": [delivery.id for delivery in decisions.claimed],
            "attempts": decisions.attempts,
            "message_id": [delivery.message_id for delivery in decisions.claimed],
        },
        state=DeliveryState.SUBMITTING,
        reason=None,
        worker_id=worker_id,
        changed_at=now,
    )


def _customers(
    session: Session, topic: Topic, customer_ids: Collection[int], daily_cap: int, now: datetime
) -> dict[int, SealedCustomer]:
    """Return these customers by id, each with the frequency chosen for the topic, in one query.

    The rows are locked where there is a daily cap: otherwise the workers of two mailings could both send the last
    letter of the day.
    """
    query = _customers_query(topic, now.date(), is_locking=bool(daily_cap))
    return {row[0]: SealedCustomer(*row) for row in session.execute(query, {"customer_ids": customer_ids})}


@lru_cache(maxsize=16)
def _customers_query(topic: Topic, today: date, *, is_locking: bool) -> Select[*tuple[Any, ...]]:
    # Any time of the day will do: a pause ends with a date.
    frequency = allowed_frequency(topic, datetime.combine(today, time(12), UTC)).label("frequency")
    query = select(*SEALED_COLUMNS, frequency).where(Customer.id.in_(bindparam("customer_ids", expanding=True)))
    if is_locking:
        query = query.order_by(Customer.id).with_for_update(of=Customer, key_share=True)
    return query


def _is_tried_again(session: Session, digest: Mailing, customer_id: int, now: datetime) -> bool:
    """Return whether a digest that the daily cap keeps back is tried again; if not, its text waits for the next one."""
    if now + DAILY_CAP_RETRY_DELAY <= (digest.started_at or now) + DAILY_CAP_RETRY_SPAN:
        return True
    digests.leave_for_next(session, digest, customer_id)
    return False


def _why_not(session: Session, customer_id: int, topic: Topic, now: datetime) -> str:
    customer = session.get_one(Customer, customer_id)
    if session.get(Suppression, customer.fingerprint):
        return words.SUPPRESSED
    if customer.pause_until and customer.pause_until > now.date():
        return words.PAUSED
    return topic.info.not_wanted


def _at_daily_cap(session: Session, customer_ids: Collection[int], *, daily_cap: int, now: datetime) -> set[int]:
    """Return those of the customers who have had as many letters in the last 24 hours as the cap allows."""
    if not daily_cap:
        return set()
    query = (
        select(Delivery.customer_id)
        .where(
            Delivery.customer_id.in_(customer_ids),
            Delivery.state.in_(LEFT_STATES),
            Delivery.changed_at > now - timedelta(days=1),
        )
        .group_by(Delivery.customer_id)
        .having(func.count() >= daily_cap)
    )
    return {customer_id for customer_id in session.scalars(query) if customer_id is not None}
