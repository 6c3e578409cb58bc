"""Digests: one letter a week or a month, on each topic, with what was put off for the customers who want it so.

A delivery that is put off stays in the ledger as skipped and becomes an item. When its week or month is over, the items
of a topic are bound to a mailing of their own, which has a hold, an audience and a ledger like any other. An item is
bound once, and a ledger row that was put off is never claimed again: nothing is sent twice. An item stays until it is
bound, whatever its customer chooses meanwhile: nothing is lost, except by a no or by cancelling.

Every function takes a session; the entry point commits.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, exists, insert, select, update
from sqlalchemy.orm import Session

from feedback_app.customers.consent import writable
from feedback_app.customers.digest_schedule import COLLECTED, last_digest
from feedback_app.customers.models import ConsentAction, ConsentEvent, Customer, Frequency, Preference
from feedback_app.customers.topics import Topic
from feedback_app.db.store import advisory_lock
from feedback_app.mailing.mailings.audience import freeze_audience
from feedback_app.mailing.mailings.source import NAMELESS, MailingSource
from feedback_app.mailing.models import Delivery, DigestItem, Mailing, MailingState

# How often workers look for digests that are due.
CHECK_INTERVAL = timedelta(minutes=1)
# How many items one UPDATE binds, which names them all.
ITEMS_AT_ONCE = 500
# Which frequencies a digest serves. A customer who wants single letters again gets what was put off with the next week.
_READERS = {
    Frequency.WEEKLY: (Frequency.WEEKLY, Frequency.EACH),
    Frequency.MONTHLY: (Frequency.MONTHLY,),
}


def collect(session: Session, delivery_ids: Collection[int], *, now: datetime) -> None:
    """Put deliveries, which the ledger skips, off for a digest."""
    if delivery_ids:
        session.execute(insert(DigestItem), [{"delivery_id": number, "put_off_at": now} for number in delivery_ids])


def make_due(session: Session, *, hold_minutes: float, now: datetime) -> list[str]:
    """Make the digests whose week or month is over, each held like any mailing. Return their slugs."""
    if session.scalar(select(DigestItem.delivery_id).where(DigestItem.digest_id.is_(None)).limit(1)) is None:
        return []
    advisory_lock(session, "digests")
    slugs = []
    for frequency, topic in ((frequency, topic) for frequency in COLLECTED for topic in Topic):
        end = last_digest(frequency, now)
        slug = f"{topic}-{frequency}-{end:%Y-%m-%d}"
        items = session.scalars(_unbound_items(topic, frequency, end, now)).all()
        if items and session.scalar(select(Mailing.id).where(Mailing.slug == slug)) is None:
            due = now + timedelta(minutes=hold_minutes)
            mailing = Mailing(slug=slug, topic=topic, digest=frequency, created_at=now, due_at=due)
            mailing.subject = topic.info.weekly_subject if frequency is Frequency.WEEKLY else topic.info.monthly_subject
            mailing.nameless, mailing.body, mailing.state = NAMELESS, "", MailingState.HELD
            session.add(mailing)
            session.flush()
            for start in range(0, len(items), ITEMS_AT_ONCE):
                some = DigestItem.delivery_id.in_(items[start : start + ITEMS_AT_ONCE])
                session.execute(update(DigestItem).where(some).values(digest_id=mailing.id))
            slugs.append(slug)
    return slugs


def freeze_digest(session: Session, mailing: Mailing, *, now: datetime) -> None:
    """At the end of a digest's hold, queue a letter for every customer who has an item in it and may be written to.

    The items of the other customers, those who have paused, say, wait for the next digest.
    """
    with_items = select(Delivery.customer_id).join(DigestItem).where(DigestItem.digest_id == mailing.id)
    freeze_audience(session, mailing, Customer.id.in_(with_items), now=now)
    frozen = select(Delivery.customer_id).where(Delivery.mailing_id == mailing.id)
    _unbind(session, mailing, Delivery.customer_id.not_in(frozen))


def leave_for_next(session: Session, mailing: Mailing, customer_id: int) -> None:
    """Let the items that a digest has for a customer wait for the next digest."""
    _unbind(session, mailing, Delivery.customer_id == customer_id)


def _unbind(session: Session, mailing: Mailing, condition: ColumnElement[bool]) -> None:
    """Take the items whose deliveries meet the condition out of a digest."""
    items = select(Delivery.id).join(DigestItem).where(DigestItem.digest_id == mailing.id, condition)
    session.execute(
        update(DigestItem)
        .where(DigestItem.delivery_id.in_(items))
        .values(digest_id=None)
        .execution_options(synchronize_session=False)
    )


def sources(session: Session, mailing: Mailing, customer_ids: Collection[int]) -> dict[int, MailingSource]:
    """Return a digest's text for each of these customers; a customer with no item in it is absent."""
    query = (
        select(Delivery.customer_id, Delivery.mailing_id)
        .join(DigestItem)
        .where(DigestItem.digest_id == mailing.id, Delivery.customer_id.in_(customer_ids))
        .order_by(Delivery.mailing_id)
    )
    mailings_of: dict[int, list[int]] = defaultdict(list)
    for customer_id, mailing_id in session.execute(query):
        if customer_id is not None:
            mailings_of[customer_id].append(mailing_id)
    ids = {number for numbers in mailings_of.values() for number in numbers}
    mailings = {one.id: one for one in session.scalars(select(Mailing).where(Mailing.id.in_(ids)))}
    texts: dict[tuple[int, ...], MailingSource] = {}
    for numbers in {tuple(numbers) for numbers in mailings_of.values()}:
        body = "\n".join(f"## {mailings[number].subject}\n\n{mailings[number].body}" for number in numbers)
        texts[numbers] = MailingSource(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, body)
    return {customer_id: texts[tuple(numbers)] for customer_id, numbers in mailings_of.items()}


def _unbound_items(topic: Topic, frequency: Frequency, end: datetime, now: datetime) -> Select[int]:
    """Select the items for a topic's next digest: of mailings that have ended, for customers who still want them."""
    said_no_since = exists().where(
        ConsentEvent.customer_id == Customer.id,
        ConsentEvent.topic == topic,
        ConsentEvent.action == ConsentAction.WITHDRAWN,
        ConsentEvent.at >= DigestItem.put_off_at,
    )
    wants = exists().where(
        Preference.customer_id == Customer.id,
        Preference.topic == topic,
        Preference.frequency.in_(_READERS[frequency]),
    )
    return (
        select(DigestItem.delivery_id)
        .join(Delivery, Delivery.id == DigestItem.delivery_id)
        .join(Mailing, Mailing.id == Delivery.mailing_id)
        .join(Customer, Customer.id == Delivery.customer_id)
        .where(
            DigestItem.digest_id.is_(None),
            DigestItem.put_off_at < end,
            Mailing.topic == topic,
            Mailing.state == MailingState.SENT,
            writable(topic, now),
            wants,
            ~said_no_since,
        )
    )
