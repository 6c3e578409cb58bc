"""Claims: the next rows of the ledger that a worker takes, with every customer's preference asked again.

The statements are made once: making them anew for every window would cost more than the database does.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Integer, bindparam, func, or_, select
from sqlalchemy.orm import Session

from feedback_app.customers.consent import allowed_frequency
from feedback_app.customers.digest_schedule import COLLECTED
from feedback_app.customers.models import Customer, Suppression
from feedback_app.customers.services import SEALED_COLUMNS, SealedCustomer
from feedback_app.customers.topics import Topic
from feedback_app.db.bulk import update_many
from feedback_app.db.prepared import AnyNumber, Driver, Prepared, driver_of, session_of
from feedback_app.mailing import words
from feedback_app.mailing.mailings import digests
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import IS_DEFERRED, LEFT_STATES, ROWS, Delivery, DeliveryState, Mailing, MailingState

# How soon, and how long, a digest is tried again for somebody who has had as many letters today as there may be.
CROWDED_DELAY, CROWDED_PATIENCE = timedelta(hours=6), timedelta(days=2)
_SENDING = Prepared(
    select(Mailing.slug, Mailing.topic, Mailing.subject, Mailing.nameless, Mailing.body, Mailing.digest)
    .where(Mailing.id == bindparam("mailing"), Mailing.state == MailingState.SENDING)
    .with_for_update(read=True)
)
_STANDS = Prepared(select(Mailing.state).where(Mailing.id == bindparam("mailing")))
_COLUMNS = (
    select(
        Delivery.id,
        Delivery.customer_id,
        Delivery.attempts,
        Delivery.message_id,
    )
    .where(Delivery.mailing_id == bindparam("mailing"))
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_DUE = Prepared(_COLUMNS.where(IS_DEFERRED, Delivery.next_try_at <= bindparam("now")).order_by(Delivery.next_try_at))
_QUEUED = _COLUMNS.where(Delivery.state == DeliveryState.QUEUED).order_by(Delivery.id)
_BEHIND = Prepared(_QUEUED.where(Delivery.id > bindparam("after")))
_BEFORE = Prepared(_QUEUED.where(Delivery.id <= bindparam("after")))

_HAD = Prepared(
    select(Delivery.customer_id)
    .where(
        AnyNumber(Delivery.customer_id, "numbers"),
        or_(*(Delivery.state == state for state in LEFT_STATES)),
        Delivery.changed_at > bindparam("since"),
    )
    .group_by(Delivery.customer_id)
    .having(func.count() >= bindparam("cap", type_=Integer))
)


# A row of the ledger: its number, its customer's, its attempts, and its letter's identifier.
_Row = tuple[int, int | None, int, str | None]


class Claimed(NamedTuple):
    """A delivery that this worker has taken: it stands as `submitting` and belongs to nobody else.

    `draft` is what a digest says to this customer; None where the mailing says the same to all. `waited` says that it
    had been deferred. `message_id` is its letter's identifier, if it was given one.
    """

    id: int
    reader: SealedCustomer
    draft: MailingSource | None
    waited: bool
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a claim took, and how many rows it skipped on the way. `last` is the last row that nobody had tried yet."""

    claimed: list[Claimed]
    skipped: int
    draft: MailingSource | None = None
    last: int = 0


def claim(
    at: Session | Driver,
    mailing_id: int,
    *,
    worker_id: str,
    most: int,
    daily_cap: int,
    now: datetime,
    fresh: int | None = None,
    after: int = 0,
    named: Callable[[int], str] | None = None,
) -> Batch:
    """Take the next deliveries of a mailing for a worker, asking every customer's preference again.

    Once this is committed the rows are `submitting`: in doubt, if the worker is never heard of again. Rows of people
    who may not be written to any more are skipped, with the reason. Of rows that nobody has tried, at most `fresh` are
    looked at, first those `after` the last of the window before. `named` gives a customer's letter its identifier.
    Raises NeedsSession, for what most windows have nothing of.
    """
    driver = driver_of(at)
    mailing = _SENDING.run(driver, mailing=mailing_id)
    if not mailing or most <= 0:
        return Batch([], 0)
    [(slug, topic, subject, nameless, body, rhythm)] = mailing
    digest = session_of(at).get_one(Mailing, mailing_id) if rhythm else None
    again = _DUE.run(driver, mailing=mailing_id, now=now, most=most)
    wanted = most - len(again)
    new = _fresh(driver, mailing_id, most=wanted if fresh is None else min(fresh, wanted), after=after)
    rows = again + new
    waited = {delivery for delivery, *_ in again}
    last = max((delivery for delivery, *_ in new), default=after)
    found = _readers(driver, topic, [number for _, number, *_ in rows], locked=bool(daily_cap), now=now)
    welcomed = [number for number, reader in found.items() if reader.wants_letters] if daily_cap or digest else []
    crowded = _crowded(driver, welcomed, daily_cap=daily_cap, now=now)
    said = digests.drafts(session_of(at), digest, welcomed) if digest else {}
    claimed, skipped, put_off, later = list[Claimed](), dict[int, str](), list[int](), list[int]()
    attempts = list[int]()
    for delivery, number, tried, known_as in rows:
        reader = found.get(number) if number is not None else None
        if number is None or reader is None:
            skipped[delivery] = "the customer was erased"
        elif not reader.wants_letters:
            skipped[delivery] = _why_not(session_of(at), number, topic, now)
            if digest:
                # Paused within the hold, say. After a no, it is in no digest that comes.
                digests.release(session_of(at), digest, number)
        elif not digest and reader.frequency in COLLECTED:
            skipped[delivery] = words.PUT_OFF[reader.frequency]
            put_off.append(delivery)
        elif number in crowded:
            if digest and _is_left_for_later(session_of(at), digest, number, now):
                later.append(delivery)
            else:
                skipped[delivery] = words.DAILY_CAP_REACHED
        elif digest and number not in said:
            skipped[delivery] = words.NOTHING_LEFT
        else:
            message_id = named(number) if named else known_as
            claimed.append(Claimed(delivery, reader, said.get(number), delivery in waited, message_id))
            attempts.append(tried + 1)
    reasons: dict[str, list[int] | list[str]] = {"id": list(skipped), "reason": list(skipped.values())}
    update_many(at, ROWS, reasons, state=DeliveryState.SKIPPED, changed_at=now)
    again_at = now + CROWDED_DELAY
    waiting = {"id": later}
    update_many(
        at,
        ROWS,
        waiting,
        state=DeliveryState.DEFERRED,
        reason=words.DAILY_CAP_REACHED,
        next_try_at=again_at,
        changed_at=now,
    )
    digests.put_off(at, put_off, now=now)
    taken: dict[str, list[Any]] = {
        "id": [one.id for one in claimed],
        "attempts": attempts,
        "message_id": [one.message_id for one in claimed],
    }
    update_many(at, ROWS, taken, state=DeliveryState.SUBMITTING, reason=None, worker_id=worker_id, changed_at=now)
    draft = MailingSource(slug, topic, subject, nameless, body)
    return Batch(claimed, len(skipped) + len(later), draft, last)


def is_sending(driver: Driver, mailing_id: int) -> bool:
    """Whether a mailing's letters still leave: nobody has cancelled or halted it."""
    return _STANDS.run(driver, mailing=mailing_id) == [(MailingState.SENDING,)]


def _fresh(driver: Driver, mailing_id: int, *, most: int, after: int) -> list[_Row]:
    """The next rows that nobody has tried: in a question of their own, since each is answered by an index of its own.

    The rows behind are left out where they were done: on PostgreSQL what was changed stays in the index for a while.
    They are asked for when there are no others: one that was taken back is queued again.
    """
    rows: list[_Row] = []
    for part in (_BEHIND, _BEFORE) if after else (_BEHIND,):
        if most > len(rows):
            rows += part.run(driver, mailing=mailing_id, after=after, most=most - len(rows))
    return rows


def _readers(
    driver: Driver, topic: Topic, numbers: Collection[int | None], *, locked: bool, now: datetime
) -> dict[int, SealedCustomer]:
    """The customers of these numbers, with what they chose, in one question.

    Locked where letters are counted: two mailings' workers would otherwise both give the day's last one.
    """
    question = _reading(topic, now.date(), locked=locked)
    rows = question.run(driver, numbers=[number for number in numbers if number is not None])
    return {row[0]: SealedCustomer(*row) for row in rows}


@lru_cache(maxsize=16)
def _reading(topic: Topic, today: date, *, locked: bool) -> Prepared:
    # The rule looks at the day alone.
    noon = datetime.combine(today, time(12), UTC)
    query = select(*SEALED_COLUMNS, allowed_frequency(topic, noon).label("frequency"))
    query = query.where(AnyNumber(Customer.id, "numbers"))
    return Prepared(query.order_by(Customer.id).with_for_update(of=Customer, key_share=True) if locked else query)


def _is_left_for_later(session: Session, digest: Mailing, number: int, now: datetime) -> bool:
    """A letter would be one too many today: a mailing is left out; a digest is tried again, or waits for the next."""
    if now + CROWDED_DELAY <= (digest.started_at or now) + CROWDED_PATIENCE:
        return True
    digests.release(session, digest, number)
    return False


def _why_not(session: Session, number: int, topic: Topic, now: datetime) -> str:
    customer = session.get_one(Customer, number)
    if session.get(Suppression, customer.fingerprint):
        return words.SUPPRESSED
    if customer.pause_until and customer.pause_until > now.date():
        return words.PAUSED
    return topic.info.not_wanted


def _crowded(driver: Driver, numbers: Sequence[int], *, daily_cap: int, now: datetime) -> set[int]:
    """The customers for whom another letter today would be one too many."""
    if not daily_cap:
        return set()
    return {number for (number,) in _HAD.run(driver, numbers=numbers, since=now - timedelta(days=1), cap=daily_cap)}
