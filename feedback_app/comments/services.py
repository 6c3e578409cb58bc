"""Comments: finding and listing them, changing their text and status. The entry point commits."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import RULES, clean_text, comment_html, without_addresses
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.notifications import notify_of_replies
from feedback_app.comments.spam.verdicts import repeat_hash
from feedback_app.comments.threads.registry import bump_versions
from feedback_app.db.base import LARGEST_INTEGER


class NoSuchComment(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """There is no comment with this number."""


class TakenBack(Exception):  # noqa: N818 - the same
    """Its author took this comment back: there are no words to show, to change or to answer."""

    def __init__(self, number: int) -> None:
        """Say so of a comment."""
        super().__init__(f"comment {number} can't be put back: its author took it back, and its words are gone")


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


def list_comments(session: Session, status: CommentStatus | None = None) -> list[tuple[Comment, Thread]]:
    """All comments, or those of one status, oldest first, with their threads."""
    query = (
        select(Comment, Thread).join(Thread, Comment.thread_id == Thread.id).order_by(Comment.created_at, Comment.id)
    )
    if status:
        query = query.where(Comment.status == status)
    return [(comment, thread) for comment, thread in session.execute(query)]
