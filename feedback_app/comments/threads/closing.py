"""Posts that take no new comments: closed by the owner's hand, or by their age."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, or_, select, update
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.comments.models import Closing, Thread
from feedback_app.config import Settings
from feedback_app.db.store import Store, rows_changed


def is_too_old(published_at: datetime, *, days: int, now: datetime) -> bool:
    """Whether a post is so old that it takes no new comments; with 0 days none is."""
    return days > 0 and published_at + timedelta(days=days) <= now


def is_closed(thread: Thread, *, days: int, now: datetime) -> bool:
    """Whether a thread takes no new comments any more, whatever its page says yet."""
    if thread.closing is Closing.BY_AGE and is_too_old(thread.published_at, days=days, now=now):
        return True
    return thread.closed_at is not None and thread.closed_at <= now


def has_aged(session: Session, *, days: int, now: datetime) -> bool:
    """Whether a thread is open that is too old, or closed though it is not."""
    return session.scalar(select(exists().where(or_(*_aged(days, now))))) or False


def close_by_age(session: Session, *, days: int, now: datetime) -> int:
    """Close the threads of posts that are too old, and open those that are not any more; returns how many.

    Each is a change that readers see: whoever keeps a site follows it like a new comment.
    """
    too_old, young = _aged(days, now)
    version = Thread.version + 1
    closed = rows_changed(session, update(Thread).where(too_old).values(closed_at=now, version=version))
    return closed + rows_changed(session, update(Thread).where(young).values(closed_at=None, version=version))


def _aged(days: int, now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    by_age = Thread.closing == Closing.BY_AGE
    if days <= 0:
        return Thread.id.is_(None), and_(by_age, Thread.closed_at.is_not(None))
    cutoff = now - timedelta(days=days)
    return (
        and_(by_age, Thread.closed_at.is_(None), Thread.published_at <= cutoff),
        and_(by_age, Thread.closed_at.is_not(None), Thread.published_at > cutoff),
    )


def close_old_posts(settings: Settings, store: Store) -> None:
    """Close the comments of posts that have become too old for them, where the shop has set an age."""
    days, now = settings.close_after_days, clock.now()
    with store.reading() as session:
        aged = has_aged(session, days=days, now=now)
    if aged:
        with store.writing() as session:
            close_by_age(session, days=days, now=now)
