"""Digests: what was put off for people who want a letter a week or a month, in one letter on each topic.

A delivery that is put off stays in the ledger as skipped and becomes an item. When its week or month is over, the items
of a topic are bound to a mailing of their own, which has a hold, an audience and a ledger like any other. An item is
bound once, and a row of the ledger that was put off is never claimed again: nothing is sent twice. An item stays until
it is bound, whatever its customer chooses meanwhile: nothing is lost, but by a no, or by cancelling.

Every function takes the session; the entry point commits. `put_off` asks for it when there is something to put off.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Select, exists, insert, literal, select, update
from sqlalchemy.orm import Session

from feedback_app.customers.consent import writable
from feedback_app.customers.digest_schedule import COLLECTED, last_digest
from feedback_app.customers.models import ConsentAction, ConsentEvent, Customer, Frequency, Preference
from feedback_app.customers.topics import Topic
from feedback_app.db.prepared import Driver, session_of
from feedback_app.db.store import advisory_lock
from feedback_app.mailing.mailings.source import NAMELESS, MailingSource
from feedback_app.mailing.models import Delivery, DeliveryState, DigestItem, Mailing, MailingState

EVERY = timedelta(minutes=1)
# Whoever wants a letter each time again gets what had been put off with the next week's.
_READERS = {
    Frequency.WEEKLY: (Frequency.WEEKLY, Frequency.EACH),
    Frequency.MONTHLY: (Frequency.MONTHLY,),
}


def put_off(at: Session | Driver, numbers: Collection[int], *, now: datetime) -> None:
    """Keep deliveries, which the ledger skips, for a digest. Raises NeedsSession."""
    if numbers:
        session_of(at).execute(insert(DigestItem), [{"delivery_id": number, "put_off_at": now} for number in numbers])


def make_due(session: Session, *, hold_minutes: float, now: datetime) -> list[str]:
    """Make the digests whose week or month is over, held like any mailing. Returns their slugs."""
    if session.scalar(select(DigestItem.delivery_id).where(DigestItem.digest_id.is_(None)).limit(1)) is None:
        return []
    advisory_lock(session, "digests")
    made = []
    for frequency, topic in ((frequency, topic) for frequency in COLLECTED for topic in Topic):
        end = last_digest(frequency, now)
        slug = f"{topic}-{frequency}-{end:%Y-%m-%d}"
        waiting = session.scalars(_waiting(topic, frequency, end, now)).all()
        if waiting and session.scalar(select(Mailing.id).where(Mailing.slug == slug)) is None:
            due = now + timedelta(minutes=hold_minutes)
            mailing = Mailing(slug=slug, topic=topic, digest=frequency, created_at=now, due_at=due)
            mailing.subject = topic.info.weekly_subject if frequency is Frequency.WEEKLY else topic.info.monthly_subject
            mailing.nameless, mailing.body, mailing.state = NAMELESS, "", MailingState.HELD
            session.add(mailing)
            session.flush()
            for start in range(0, len(waiting), 500):
                some = DigestItem.delivery_id.in_(waiting[start : start + 500])
                session.execute(update(DigestItem).where(some).values(digest_id=mailing.id))
            made.append(slug)
    return made


def freeze(session: Session, mailing: Mailing, *, now: datetime) -> None:
    """At the end of a digest's hold: a row for everybody who has something in it and may be written to.

    The items of the others, somebody's who has paused, say, wait for the next one.
    """
    columns = ("mailing_id", "customer_id", "state", "attempts", "changed_at")
    items = select(Delivery.customer_id).join(DigestItem).where(DigestItem.digest_id == mailing.id)
    people = (
        select(
            literal(mailing.id),
            Customer.id,
            literal(DeliveryState.QUEUED, Delivery.state.type),
            literal(0),
            literal(now, Delivery.changed_at.type),
        )
        .where(Customer.id.in_(items), writable(mailing.topic, now))
        .order_by(Customer.id)
    )
    session.execute(insert(Delivery).from_select(columns, people))
    frozen = select(Delivery.customer_id).where(Delivery.mailing_id == mailing.id)
    left = select(Delivery.id).join(DigestItem).where(DigestItem.digest_id == mailing.id)
    left = left.where(Delivery.customer_id.not_in(frozen))
    session.execute(
        update(DigestItem)
        .where(DigestItem.delivery_id.in_(left))
        .values(digest_id=None)
        .execution_options(synchronize_session=False)
    )


def release(session: Session, mailing: Mailing, customer_id: int) -> None:
    """Let what a digest has for a customer wait for the next one."""
    theirs = select(Delivery.id).join(DigestItem).where(DigestItem.digest_id == mailing.id)
    theirs = theirs.where(Delivery.customer_id == customer_id)
    session.execute(
        update(DigestItem)
        .where(DigestItem.delivery_id.in_(theirs))
        .values(digest_id=None)
        .execution_options(synchronize_session=False)
    )


def drafts(session: Session, mailing: Mailing, numbers: Collection[int]) -> dict[int, MailingSource]:
    """What a digest says to each of these customers; who has nothing in it is absent."""
    query = (
        select(Delivery.customer_id, Delivery.mailing_id)
        .join(DigestItem)
        .where(DigestItem.digest_id == mailing.id, Delivery.customer_id.in_(numbers))
        .order_by(Delivery.mailing_id)
    )
    wanted: dict[int, list[int]] = defaultdict(list)
    for customer, source in session.execute(query):
        if customer is not None:
            wanted[customer].append(source)
    ids = {source for sources in wanted.values() for source in sources}
    sources = {one.id: one for one in session.scalars(select(Mailing).where(Mailing.id.in_(ids)))}
    texts: dict[tuple[int, ...], MailingSource] = {}
    for numbers_of in {tuple(one) for one in wanted.values()}:
        body = "\n".join(f"## {sources[number].subject}\n\n{sources[number].body}" for number in numbers_of)
        texts[numbers_of] = MailingSource(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, body)
    return {customer: texts[tuple(one)] for customer, one in wanted.items()}


def _waiting(topic: Topic, frequency: Frequency, end: datetime, now: datetime) -> Select[int]:
    """The items of a topic's digest: of mailings that have ended, for people who still want them."""
    no_since = exists().where(
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
            ~no_since,
        )
    )
