"""Telling the owner of comments that wait: a letter for each, and one for all of them where there are many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.db.store import advisory_lock
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter

# At most so many single letters within this time; what comes beyond them waits for the next digest, of which there is
# one within this time, too.
MOST_SINGLE = 5
RHYTHM = timedelta(hours=1)
# How many comments a digest shows; it says how many there are.
MOST_SHOWN = 20
# What its author changes while it waits is told of again.
NOT_YET_TOLD = (
    Comment.status == CommentStatus.PENDING,
    or_(Comment.owner_told_at.is_(None), Comment.owner_told_at < Comment.changed_at),
)


@dataclass(frozen=True, slots=True)
class WaitingComments:
    """Comments that the owner has not been told of, and whether they go into one letter."""

    numbers: list[int]
    together: bool


def find_waiting(session: Session, *, now: datetime) -> WaitingComments | None:
    """What the owner is to be told of now; None when there is nothing, or not yet."""
    numbers = list(session.scalars(select(Comment.id).where(*NOT_YET_TOLD).order_by(Comment.id)))
    if not numbers or _since(session, LetterKind.COMMENTS_WAIT, now - RHYTHM):
        return None
    single = _since(session, LetterKind.COMMENT_WAITS, now - RHYTHM)
    return WaitingComments(numbers, together=single + len(numbers) > MOST_SINGLE)


def queue_letters(session: Session, *, now: datetime) -> int:
    """Note the letters about what waits; returns how many. One process at a time: two would tell of it twice."""
    advisory_lock(session, "letters about what waits")
    untold = find_waiting(session, now=now)
    if untold is None:
        return 0
    session.execute(
        update(Comment).where(*NOT_YET_TOLD).values(owner_told_at=now),
        execution_options={"synchronize_session": False},
    )
    if untold.together:
        queue_letter(session, LetterKind.COMMENTS_WAIT, None, details=json.dumps(untold.numbers[:MOST_SHOWN]), now=now)
        return 1
    for number in untold.numbers:
        queue_letter(session, LetterKind.COMMENT_WAITS, None, about=number, now=now)
    return len(untold.numbers)


def still_waiting(session: Session, numbers: Sequence[int]) -> list[tuple[Comment, Thread]]:
    """Of these comments those that wait by now, oldest first, with their threads."""
    query = (
        select(Comment, Thread)
        .join(Thread, Thread.id == Comment.thread_id)
        .where(Comment.id.in_(numbers), Comment.status == CommentStatus.PENDING)
        .order_by(Comment.id)
    )
    return [(comment, thread) for comment, thread in session.execute(query)]


def count_waiting(session: Session) -> int:
    """How many comments wait."""
    query = select(func.count()).select_from(Comment).where(Comment.status == CommentStatus.PENDING)
    return session.scalar(query) or 0


def _since(session: Session, kind: LetterKind, moment: datetime) -> int:
    query = select(func.count()).select_from(LetterRequest)
    return session.scalar(query.where(LetterRequest.kind == kind, LetterRequest.asked_at > moment)) or 0
