"""What the owner does to comments and threads: each in the audit log, and each undone exactly. The entry point commits.

A line keeps the values that were there before and those that it put there. It is undone only while these still stand:
what somebody has changed since is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.audit_log import Act, AuditLine, lines_of, note
from feedback_app.comments.decisions import Decision
from feedback_app.comments.markup.sanitizer import without_addresses
from feedback_app.comments.models import Closing, Comment, CommentStatus, Thread
from feedback_app.comments.services import (
    TakenBack,
    answer_as_owner,
    change_status,
    change_text,
)
from feedback_app.comments.threads.registry import bump_versions
from feedback_app.db.base import LARGEST_INTEGER

COMMENT = (
    "status",
    "author",
    "text",
    "html",
    "rules",
    "repeat_hash",
    "changed_at",
    "edited_at",
    "edited_by_owner",
)
THREAD = ("closing", "closed_at")
# The kinds of lines that an undo knows.
UNDOABLE = (Act.DECIDED, Act.EDITED, Act.ANSWERED, Act.CLOSED, Act.OPENED, Act.UNDONE)


@dataclass(frozen=True, slots=True)
class Undone:
    """How much was undone, and how much was not, because it has been changed since."""

    done: int
    left: int


@dataclass(frozen=True, slots=True)
class Decided:
    """How many comments have another status now, and which were left alone because their authors took them back."""

    changed: int
    taken_back: list[int]

    @property
    def left(self) -> str:
        """What was left alone and why, in words; nothing where nothing was."""
        if not self.taken_back:
            return ""
        one = len(self.taken_back) == 1
        which = f"{'Comment' if one else 'Comments'} {', '.join(map(str, self.taken_back))}"
        if one:
            return f"{which} was left alone: its author took it back, and its words are gone."
        return f"{which} were left alone: their authors took them back, and their words are gone."


def decide_as(
    session: Session, numbers: Sequence[int], decision: Decision, *, who: str, now: datetime, batch: str
) -> Decided:
    """Give comments a status. Raises NoSuchComment, and then changes none; what its author took back is left alone."""
    asked = select(Comment, Thread.title).join(Thread, Thread.id == Comment.thread_id)
    # Locked from here on, so that what is noted as it was is what is changed.
    asked = asked.where(Comment.id.in_(_real(numbers))).order_by(Comment.id).with_for_update(of=Comment)
    rows = session.execute(asked).all()
    gone = [comment.id for comment, _ in rows if comment.taken_back and comment.status is not decision.status]
    before = {comment.id: _values(comment, COMMENT) for comment, _ in rows}
    changed = change_status(session, numbers, decision.status, now=now)
    for comment, title in rows:
        about = f"comment {comment.id} on {title}: {decision.status}"
        _note(session, Act.DECIDED, about, comment, before[comment.id], who=who, now=now, batch=batch)
    return Decided(changed, gone)


def edit_as_owner(
    session: Session, comment: Comment, *, author: str, text: str, who: str, now: datetime, batch: str
) -> bool:
    """The owner's words for a comment, which says so; returns whether anything is other than it was.

    Raises TakenBack where there are no words of its author's any more.
    """
    if comment.taken_back:
        raise TakenBack(comment.id)
    before = _values(comment, COMMENT)
    author = without_addresses(author)
    if author != comment.author:
        comment.author = author
        comment.edited_at = comment.changed_at = now
        if comment.status is CommentStatus.APPROVED:
            bump_versions(session, {comment.thread_id})
    change_text(session, comment, text, now=now)
    if _values(comment, COMMENT) == before:
        return False
    comment.edited_by_owner = True
    session.flush()
    _note(session, Act.EDITED, f"comment {comment.id}", comment, before, who=who, now=now, batch=batch)
    return True


def answer_as(
    session: Session,
    thread: Thread,
    parent: Comment,
    *,
    author: str,
    text: str,
    who: str,
    now: datetime,
    batch: str,
) -> Comment:
    """The owner's answer, shown at once; what it answers is approved with it. Raises TakenBack where it is gone."""
    if parent.taken_back:
        raise TakenBack(parent.id)
    if parent.status is not CommentStatus.APPROVED:
        decide_as(session, [parent.id], Decision.APPROVE, who=who, now=now, batch=batch)
    made = answer_as_owner(session, thread, author=author, text=text, parent=parent, now=now)
    # Undone, it is what a comment is that was never there for readers.
    before = _values(made, COMMENT) | {"status": CommentStatus.DELETED.value}
    about = f"comment {parent.id} on {thread.title}, with comment {made.id}"
    _note(session, Act.ANSWERED, about, made, before, who=who, now=now, batch=batch)
    return made


def close_thread(session: Session, thread: Thread, *, who: str, now: datetime, batch: str) -> bool:
    """Take no more comments on a post; returns whether that is new."""
    return _set_closing(session, thread, Closing.CLOSED, now, Act.CLOSED, who=who, now=now, batch=batch)


def open_thread(session: Session, thread: Thread, *, who: str, now: datetime, batch: str) -> bool:
    """Take comments on a post, however old it is; returns whether that is new."""
    return _set_closing(session, thread, Closing.OPEN, None, Act.OPENED, who=who, now=now, batch=batch)


def undo(session: Session, batch: str, *, who: str, now: datetime, new_batch: str) -> Undone:
    """Put back what one press changed, as long as it stands as that press left it."""
    done = left = 0
    for line in lines_of(session, batch):
        if line.act not in UNDOABLE or line.before is None or line.after is None:
            continue
        kept = _kept(session, line)
        if kept is None or any(_values(kept, tuple(line.after))[name] != value for name, value in line.after.items()):
            left += 1
            continue
        _put_back(session, kept, line.before)
        # Undoing the undoing does it again.
        note(
            session,
            who,
            Act.UNDONE,
            f"{line.act}: {line.about}",
            now=now,
            batch=new_batch,
            comment_id=line.comment_id,
            thread_id=line.thread_id,
            before=line.after,
            after=line.before,
        )
        done += 1
    return Undone(done, left)


def _real(numbers: Sequence[int]) -> set[int]:
    return {number for number in numbers if number <= LARGEST_INTEGER}


def _kept(session: Session, line: AuditLine) -> Comment | Thread | None:
    if line.comment_id is not None:
        return session.get(Comment, line.comment_id, with_for_update=True)
    return session.get(Thread, line.thread_id, with_for_update=True) if line.thread_id is not None else None


def _put_back(session: Session, kept: Comment | Thread, before: dict[str, Any]) -> None:
    shown = {kept.status} if isinstance(kept, Comment) else {CommentStatus.APPROVED}
    for name, value in before.items():
        setattr(kept, name, _read(name, value))
    session.flush()
    if isinstance(kept, Thread):
        bump_versions(session, {kept.id})
    elif CommentStatus.APPROVED in shown | {kept.status}:
        bump_versions(session, {kept.thread_id})


def _set_closing(
    session: Session,
    thread: Thread,
    closing: Closing,
    closed_at: datetime | None,
    act: Act,
    *,
    who: str,
    now: datetime,
    batch: str,
) -> bool:
    before = _values(thread, THREAD)
    if thread.closing is closing:
        return False
    thread.closing, thread.closed_at = closing, closed_at
    session.flush()
    bump_versions(session, {thread.id})
    after = _values(thread, THREAD)
    note(session, who, act, thread.title, now=now, batch=batch, thread_id=thread.id, before=before, after=after)
    return True


def _note(
    session: Session,
    act: Act,
    about: str,
    comment: Comment,
    before: dict[str, Any],
    *,
    who: str,
    now: datetime,
    batch: str,
) -> None:
    """A line with what is other than it was, and nothing else; none where nothing is."""
    after = _values(comment, COMMENT)
    other = [name for name in COMMENT if before[name] != after[name]]
    if not other:
        return
    note(
        session,
        who,
        act,
        about,
        now=now,
        batch=batch,
        comment_id=comment.id,
        before={name: before[name] for name in other},
        after={name: after[name] for name in other},
    )


def _values(row: Comment | Thread, names: Sequence[str]) -> dict[str, Any]:
    """What a row holds, as JSON can keep it."""
    return {name: _written(getattr(row, name)) for name in names}


def _written(value: Any) -> Any:  # noqa: ANN401 - what a row holds
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, CommentStatus | Closing) else value


def _read(name: str, value: Any) -> Any:  # noqa: ANN401 - what JSON has kept
    if name.endswith("_at") and value is not None:
        return datetime.fromisoformat(value)
    if name == "repeat_hash" and value is not None:
        return bytes.fromhex(value)
    kinds = {"status": CommentStatus, "closing": Closing}
    return kinds[name](value) if name in kinds else value
