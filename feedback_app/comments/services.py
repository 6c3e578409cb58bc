"""Comments: deciding, listing; threads: registering, counting. The entry point commits."""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import RULES, clean_text, comment_html, without_addresses
from feedback_app.comments.models import Comment, CommentStatus, ShownComment, Thread
from feedback_app.comments.notifications import notify_of_replies
from feedback_app.comments.spam.verdicts import repeat_hash
from feedback_app.db.base import LARGEST_INTEGER
from feedback_app.db.store import rows_changed

# How many threads are named in one question; for more, all are asked about.
MOST_NAMED = 500
_SHOWN = [getattr(Comment, name) for name in ShownComment._fields]


class NoSuchComment(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """There is no comment with this number."""


class TakenBack(Exception):  # noqa: N818 - the same
    """Its author took this comment back: there are no words to show, to change or to answer."""

    def __init__(self, number: int) -> None:
        """Say so of a comment."""
        super().__init__(f"comment {number} can't be put back: its author took it back, and its words are gone")


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


def find_parent(session: Session, thread: int, number: int) -> Comment | None:
    """A comment that can be answered: approved, and of the same thread."""
    comment = session.get(Comment, number) if number <= LARGEST_INTEGER else None
    if comment is None or comment.thread_id != thread or comment.status is not CommentStatus.APPROVED:
        return None
    return comment


def answer_as_owner(
    session: Session, thread: Thread, *, author: str, text: str, parent: Comment | None, now: datetime
) -> Comment:
    """The owner's own comment: shown at once, and marked as the owner's."""
    text = without_addresses(clean_text(text))
    comment = Comment(
        thread_id=thread.id,
        parent_id=parent.id if parent else None,
        author=without_addresses(author),
        text=text,
        html=comment_html(text),
        rules=RULES,
        status=CommentStatus.APPROVED,
        created_at=now,
        changed_at=now,
        by_owner=True,
    )
    session.add(comment)
    session.flush()
    bump_versions(session, {thread.id})
    notify_of_replies(session, [comment], now=now)
    return comment


def change_text(session: Session, comment: Comment, text: str, *, now: datetime) -> None:
    """Other words for a comment; it says that it was edited."""
    text = without_addresses(clean_text(text))
    if text == comment.text:
        return
    comment.text, comment.html, comment.rules = text, comment_html(text), RULES
    comment.repeat_hash = repeat_hash(text)
    comment.edited_at = comment.changed_at = now
    comment.edited_by_owner = False
    session.flush()
    if comment.status is CommentStatus.APPROVED:
        bump_versions(session, {comment.thread_id})


def change_status(session: Session, numbers: Sequence[int], status: CommentStatus, *, now: datetime) -> int:
    """Give comments a status; returns how many had another one. Raises NoSuchComment, and then changes none.

    What its author took back stays as it is.
    """
    possible = {number for number in numbers if number <= LARGEST_INTEGER}
    # Locked: what its author takes back at this moment is gone before it is looked at, or after it was decided.
    found = select(Comment).where(Comment.id.in_(possible)).order_by(Comment.id).with_for_update()
    comments = {comment.id: comment for comment in session.scalars(found)}
    for number in numbers:
        if number not in comments:
            message = f"there is no comment {number}: `undisclosed comments list` shows those there are"
            raise NoSuchComment(message)
    others = [comment for comment in comments.values() if comment.status is not status and not comment.taken_back]
    seen = {comment.thread_id for comment in others if CommentStatus.APPROVED in {comment.status, status}}
    for comment in others:
        comment.status, comment.changed_at = status, now
    session.flush()
    bump_versions(session, seen)
    if status is CommentStatus.APPROVED:
        notify_of_replies(session, others, now=now)
    return len(others)


def bump_versions(session: Session, threads: set[int]) -> None:
    """Note that something which readers see of these threads is another."""
    session.execute(update(Thread).where(Thread.id.in_(threads)).values(version=Thread.version + 1))


def list_comments(session: Session, status: CommentStatus | None = None) -> list[tuple[Comment, Thread]]:
    """All comments, or those of one status, oldest first, with their threads."""
    query = (
        select(Comment, Thread).join(Thread, Comment.thread_id == Thread.id).order_by(Comment.created_at, Comment.id)
    )
    if status:
        query = query.where(Comment.status == status)
    return [(comment, thread) for comment, thread in session.execute(query)]


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


def last_published(session: Session) -> datetime | None:
    """When the newest post was published, or None for an empty blog."""
    # By an index, from its end: the greatest of all would be looked for among ten thousand.
    newest = select(Thread.published_at).where(Thread.open).order_by(Thread.published_at.desc()).limit(1)
    return session.scalar(newest)
