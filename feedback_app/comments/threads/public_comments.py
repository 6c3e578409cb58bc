"""The approved comments of threads: what pages, counts and feeds show."""

from collections.abc import Collection, Container, Iterable
from datetime import datetime
from itertools import count

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_app.comments.models import Comment, CommentStatus, ShownComment, Thread
from feedback_app.comments.threads.registry import MOST_NAMED

_SHOWN = [getattr(Comment, name) for name in ShownComment._fields]


def approved_comments(session: Session, paths: Iterable[str] | None = None) -> dict[str, list[ShownComment]]:
    """The approved comments of these threads (or of all), oldest first, by the thread's path."""
    found = select(Thread.id, Thread.path)
    # Put in order here, and asked apart from their threads: otherwise SQLite would go through all approved comments of
    # the blog in their order, for however few threads.
    query = select(Comment.thread_id, *_SHOWN).where(Comment.status == CommentStatus.APPROVED)
    if paths is not None:
        found = found.where(Thread.path.in_(list(paths)))
    paths_of = {thread.id: thread.path for thread in session.execute(found)}
    if paths is not None:
        query = query.where(Comment.thread_id.in_(paths_of))
    threads: dict[str, list[ShownComment]] = {}
    for thread, *columns in session.execute(query):
        # A thread that began between the two questions is in the next answer.
        if thread in paths_of:
            threads.setdefault(paths_of[thread], []).append(ShownComment(*columns))
    for comments in threads.values():
        comments.sort(key=lambda comment: (comment.created_at, comment.id))
    return threads


def newest_comments(session: Session, most: int) -> list[tuple[ShownComment, Thread]]:
    """The newest approved comments of the whole blog, newest first."""
    query = (
        select(Thread, *_SHOWN)
        .join(Comment, Comment.thread_id == Thread.id)
        .where(Comment.status == CommentStatus.APPROVED, Thread.open)
        .order_by(Comment.created_at.desc(), Comment.id.desc())
        .limit(most)
    )
    return [(ShownComment(*columns), thread) for thread, *columns in session.execute(query)]


def newest_of(session: Session, paths: Container[str], most: int) -> list[tuple[ShownComment, str]]:
    """The newest approved comments of these threads, newest first, with their threads' paths."""
    query = (
        select(Thread.path, *_SHOWN)
        .join(Comment, Comment.thread_id == Thread.id)
        .where(Comment.status == CommentStatus.APPROVED)
        .order_by(Comment.created_at.desc(), Comment.id.desc())
    )
    found: list[tuple[ShownComment, str]] = []
    for start in count(0, 2 * most):
        rows = session.execute(query.offset(start).limit(2 * most)).all()
        found += [(ShownComment(*columns), path) for path, *columns in rows if path in paths]
        if len(found) >= most or len(rows) < 2 * most:
            break
    return found[:most]


def approved_counts(session: Session, paths: Collection[str]) -> dict[str, int]:
    """How many approved comments these threads have, those that have any."""
    query = (
        select(Thread.path, func.count())
        .join(Comment, Comment.thread_id == Thread.id)
        .where(Comment.status == CommentStatus.APPROVED)
        .group_by(Thread.path)
    )
    if len(paths) <= MOST_NAMED:
        query = query.where(Thread.path.in_(list(paths)))
    return {path: number for path, number in session.execute(query) if path in paths}


def last_published(session: Session) -> datetime | None:
    """When the newest post was published, or None for an empty blog."""
    # By an index, from its end: the greatest of all would be looked for among ten thousand.
    newest = select(Thread.published_at).where(Thread.open).order_by(Thread.published_at.desc()).limit(1)
    return session.scalar(newest)
