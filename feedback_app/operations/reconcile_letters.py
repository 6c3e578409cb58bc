"""What a restore must not forget of letters: what came back, and which threads somebody wants to hear no more about."""

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.orm import Session

from feedback_app.comments.models import Comment, ConfirmationAsked, Following, Notice, Thread
from feedback_app.customers.models import Customer
from feedback_app.mailing.models import Bounce, Delivery, Mailing
from feedback_app.operations.snapshot import (
    ASKED,
    BOUNCES,
    COMMENTS,
    CUSTOMERS,
    DELIVERIES,
    FOLLOWINGS,
    MAILINGS,
    NOTICES,
    THREADS,
    insert_rows,
    update_rows,
)


def carry_letters(session: Session) -> int:
    """Bring it over; call when people, mailings and deliveries are. Returns how many rows that were."""
    session.flush()
    return _bounces(session) + _asked(session) + _stops(session) + _told(session)


def _bounces(session: Session) -> int:
    """What came back counts once, also when its message is looked at again."""
    old = BOUNCES.c
    values = {name: old[name] for name in old.keys() if name not in {"id", "delivery_id"}}  # noqa: SIM118 - not a mapping
    missing = (
        select(Delivery.id, *values.values())
        .select_from(BOUNCES)
        .join(DELIVERIES, DELIVERIES.c.id == old.delivery_id)
        .join(MAILINGS, MAILINGS.c.id == DELIVERIES.c.mailing_id)
        .join(CUSTOMERS, CUSTOMERS.c.id == DELIVERIES.c.customer_id)
        .join(Mailing, Mailing.slug == MAILINGS.c.slug)
        .join(Customer, Customer.fingerprint == CUSTOMERS.c.fingerprint)
        .join(Delivery, and_(Delivery.mailing_id == Mailing.id, Delivery.customer_id == Customer.id))
        .where(old.digest.not_in(select(Bounce.digest)))
    )
    return insert_rows(session, insert(Bounce).from_select(("delivery_id", *values), missing))


def _asked(session: Session) -> int:
    """Who was asked once whether they want to be told about answers is not asked again."""
    old = ASKED.c
    missing = select(old.fingerprint, old.at).where(old.fingerprint.not_in(select(ConfirmationAsked.fingerprint)))
    return insert_rows(session, insert(ConfirmationAsked).from_select(("fingerprint", "at"), missing))


def _same_following() -> tuple[object, ...]:
    return (
        THREADS.c.id == FOLLOWINGS.c.thread_id,
        CUSTOMERS.c.id == FOLLOWINGS.c.customer_id,
        Thread.path == THREADS.c.path,
        Customer.fingerprint == CUSTOMERS.c.fingerprint,
        Following.thread_id == Thread.id,
        Following.customer_id == Customer.id,
    )


def _stops(session: Session) -> int:
    """A stop that came after the backup's yes."""
    stopped = FOLLOWINGS.c.stopped_at
    later = or_(Following.confirmed_at.is_(None), Following.confirmed_at <= stopped)
    wanted = (stopped.is_not(None), Following.stopped_at.is_(None), later)
    return update_rows(
        session,
        [update(Following).where(*_same_following(), *wanted).values(stopped_at=stopped)],  # type: ignore[arg-type]
    )


def _told(session: Session) -> int:
    """An answer that somebody was told about is not told again."""
    same = (
        *_same_following(),
        NOTICES.c.following_id == FOLLOWINGS.c.id,
        COMMENTS.c.id == NOTICES.c.comment_id,
        Comment.id == COMMENTS.c.id,
        Comment.created_at == COMMENTS.c.created_at,
        Notice.following_id == Following.id,
        Notice.comment_id == Comment.id,
    )
    told = (NOTICES.c.told_at.is_not(None), Notice.told_at.is_(None))
    return update_rows(
        session,
        [update(Notice).where(*same, *told).values(told_at=NOTICES.c.told_at)],  # type: ignore[arg-type]
    )
