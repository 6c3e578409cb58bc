"""The register of threads: one for each post, its version, and how it is found."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import RULES, comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.db.store import rows_changed

# How many threads are named in one question; for more, all are asked about.
MOST_NAMED = 500


@dataclass(frozen=True, slots=True)
class Post:
    """What a thread needs to know of its post. `path` is the permalink, with its leading slash."""

    path: str
    title: str
    published_at: datetime
    # The post's file, by which it is known again when it moves.
    source: str | None = None
    # What a letter about it says, where its head says that there is one.
    announce: str | None = None


def register_posts(session: Session, posts: Iterable[Post], *, dry: bool = False) -> int:
    """Give every published post its thread; a thread whose post is gone keeps its comments and takes no new ones.

    Comments that were rendered by older rules are rendered anew. Returns how many threads are not what they were; `dry`
    only counts them.
    """
    columns = (Thread.path, Thread.title, Thread.published_at, Thread.source, Thread.open)
    known = {path: rest for path, *rest in session.execute(select(*columns))}
    published = {post.path: post for post in posts}
    new = [
        post
        for path, post in published.items()
        if known.get(path) != [post.title, post.published_at, post.source, True]
    ]
    gone = [path for path, (*_, is_open) in known.items() if is_open and path not in published]
    if not dry:
        update_posts(session, new, gone)
        rerender_outdated(session)
    return len(new) + len(gone)


def update_posts(session: Session, posts: Sequence[Post], gone: Sequence[str]) -> None:
    """Open the threads of these posts, with what is new about them; close those of others that are gone."""
    for post in posts:
        values = {"title": post.title, "published_at": post.published_at, "source": post.source, "open": True}
        if not rows_changed(session, update(Thread).where(Thread.path == post.path).values(**values)):
            session.add(Thread(path=post.path, version=0, **values))
    for path in gone:
        session.execute(update(Thread).where(Thread.path == path).values(open=False))


def rerender_outdated(session: Session) -> int:
    """Render every comment again that was rendered by other rules than those in force; returns how many there were."""
    old = list(session.scalars(select(Comment).where(Comment.rules != RULES)))
    seen = set()
    for comment in old:
        html = comment_html(comment.text)
        if comment.status is CommentStatus.APPROVED and html != comment.html:
            seen.add(comment.thread_id)
        comment.html, comment.rules = html, RULES
    session.flush()
    bump_versions(session, seen)
    return len(old)


def find_thread(session: Session, path: str) -> Thread | None:
    """The thread of a post that is published; it may be closed."""
    if "\0" in path:
        # PostgreSQL refuses even to compare with it.
        return None
    return session.scalar(select(Thread).where(Thread.path == path, Thread.open))


def bump_versions(session: Session, threads: set[int]) -> None:
    """Note that something which readers see of these threads is another."""
    session.execute(update(Thread).where(Thread.id.in_(threads)).values(version=Thread.version + 1))


def closed_threads(session: Session) -> set[str]:
    """The paths of the threads that take no new comments, as their pages say it."""
    return set(session.scalars(select(Thread.path).where(Thread.closed_at.is_not(None))))


def thread_versions(session: Session, of: Collection[str] | None = None) -> dict[str, int]:
    """The version of every thread (or of these), by its path."""
    if of is not None and len(of) <= MOST_NAMED:
        return dict(session.execute(select(Thread.path, Thread.version).where(Thread.path.in_(list(of)))).all())
    return dict(session.execute(select(Thread.path, Thread.version)).all())


def paths_of(session: Session, numbers: Collection[int]) -> list[str]:
    """The paths of these threads."""
    return list(session.scalars(select(Thread.path).where(Thread.id.in_(list(numbers)))))
