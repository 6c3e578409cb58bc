"""Comments: posting, deciding, listing; threads: registering, counting. The entry point commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from feedback_app.comments.markup import RULES, clean_text, comment_html, has_address, shows_address, without_addresses
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.config import Moderation
from feedback_app.customers.addresses import Address
from feedback_app.customers.services import find_or_add_customer

# What PostgreSQL's integer can hold: asking for more is an error there, not an empty answer.
LARGEST_NUMBER = 2**31 - 1


class NoSuchComment(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """There is no comment with this number."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a thread needs to know of its post. `path` is the permalink, with its leading slash."""

    path: str
    title: str
    published_at: datetime


def register_posts(session: Session, posts: Iterable[Post]) -> None:
    """Give every published post its thread; a thread whose post is gone keeps its comments and takes no new ones."""
    known = {thread.path: thread for thread in session.scalars(select(Thread))}
    published = set()
    for post in posts:
        published.add(post.path)
        thread = known.get(post.path)
        if thread is None:
            session.add(Thread(path=post.path, title=post.title, published_at=post.published_at, open=True, version=0))
        else:
            thread.title, thread.published_at, thread.open = post.title, post.published_at, True
    for path, thread in known.items():
        if path not in published:
            thread.open = False


def find_thread(session: Session, path: str) -> Thread | None:
    """The thread of a post that is published and takes comments."""
    if "\0" in path:
        # PostgreSQL refuses even to compare with it.
        return None
    return session.scalar(select(Thread).where(Thread.path == path, Thread.open))


def find_parent(session: Session, thread: Thread, number: int) -> Comment | None:
    """A comment that can be answered: approved, and of the same thread."""
    comment = session.get(Comment, number) if number <= LARGEST_NUMBER else None
    if comment is None or comment.thread_id != thread.id or comment.status is not CommentStatus.APPROVED:
        return None
    return comment


def post_comment(
    session: Session,
    thread: Thread,
    *,
    author: str,
    text: str,
    address: Address | None,
    parent: Comment | None,
    moderation: Moderation,
    earlier: Sequence[int],
    now: datetime,
) -> Comment:
    """Keep a comment. It waits for the owner unless moderation lets it through.

    `earlier` are the comments that this browser posted before: with `first`, somebody with an approved one waits no
    more. A comment with an address in it always waits, and the address is not kept: the text is not sealed.
    """
    text = clean_text(text)
    waits = shows_address(text) or has_address(author) or not _trusted(session, moderation, earlier)
    customer = find_or_add_customer(session, address, now=now) if address else None
    comment = Comment(
        thread_id=thread.id,
        parent_id=parent.id if parent else None,
        customer_id=customer.id if customer else None,
        author=without_addresses(author),
        text=without_addresses(text),
        html=comment_html(text),
        rules=RULES,
        status=CommentStatus.PENDING if waits else CommentStatus.APPROVED,
        created_at=now,
        changed_at=now,
    )
    session.add(comment)
    session.flush()
    if not waits:
        _touch(session, {thread.id})
    return comment


def _trusted(session: Session, moderation: Moderation, earlier: Sequence[int]) -> bool:
    if moderation is not Moderation.FIRST:
        return moderation is Moderation.NONE
    query = select(Comment.id).where(Comment.id.in_(earlier), Comment.status == CommentStatus.APPROVED)
    return session.scalar(query.limit(1)) is not None


def decide(session: Session, numbers: Sequence[int], status: CommentStatus, *, now: datetime) -> int:
    """Give comments a status; returns how many had another one. Raises NoSuchComment, and then changes none."""
    possible = {number for number in numbers if number <= LARGEST_NUMBER}
    comments = {comment.id: comment for comment in session.scalars(select(Comment).where(Comment.id.in_(possible)))}
    for number in numbers:
        if number not in comments:
            message = f"there is no comment {number}: `undisclosed comments list` shows those there are"
            raise NoSuchComment(message)
    changed = [comment for comment in comments.values() if comment.status is not status]
    seen = {comment.thread_id for comment in changed if CommentStatus.APPROVED in {comment.status, status}}
    for comment in changed:
        comment.status, comment.changed_at = status, now
    session.flush()
    _touch(session, seen)
    return len(changed)


def _touch(session: Session, threads: set[int]) -> None:
    session.execute(update(Thread).where(Thread.id.in_(threads)).values(version=Thread.version + 1))


def list_comments(session: Session, status: CommentStatus | None = None) -> list[tuple[Comment, Thread]]:
    """All comments, or those of one status, oldest first, with their threads."""
    query = (
        select(Comment, Thread).join(Thread, Comment.thread_id == Thread.id).order_by(Comment.created_at, Comment.id)
    )
    if status:
        query = query.where(Comment.status == status)
    return [(comment, thread) for comment, thread in session.execute(query)]


def thread_versions(session: Session) -> dict[str, int]:
    """Every thread's version, by its path."""
    return {row.path: row.version for row in session.execute(select(Thread.path, Thread.version))}


def approved_comments(session: Session, paths: Iterable[str] | None = None) -> dict[str, list[Comment]]:
    """The approved comments of these threads (or of all), oldest first, by the thread's path."""
    query = (
        select(Thread.path, Comment)
        .join(Comment, Comment.thread_id == Thread.id)
        .where(Comment.status == CommentStatus.APPROVED)
        .order_by(Comment.created_at, Comment.id)
    )
    if paths is not None:
        query = query.where(Thread.path.in_(list(paths)))
    threads: dict[str, list[Comment]] = {}
    for path, comment in session.execute(query):
        threads.setdefault(path, []).append(comment)
    return threads


def newest_comments(session: Session, most: int) -> list[tuple[Comment, Thread]]:
    """The newest approved comments of the whole blog, newest first."""
    query = (
        select(Comment, Thread)
        .join(Thread, Comment.thread_id == Thread.id)
        .where(Comment.status == CommentStatus.APPROVED, Thread.open)
        .order_by(Comment.created_at.desc(), Comment.id.desc())
        .limit(most)
    )
    return [(comment, thread) for comment, thread in session.execute(query)]


def last_published(session: Session) -> datetime | None:
    """When the newest post was published, or None for an empty blog."""
    return session.scalar(select(func.max(Thread.published_at)).where(Thread.open))
