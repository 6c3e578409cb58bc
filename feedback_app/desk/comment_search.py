"""Finding comments: by where they stand, their post, why they waited, and their words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.spam import akismet, verdicts

PAGE = 50
LONGEST = 200
ANY = "any"
# What a comment can have waited for, as it is chosen from; some go on with a number or a word.
REASONS = (
    verdicts.FIRST_ONE,
    verdicts.EVERY_ONE,
    verdicts.ADDRESS_IN_TEXT,
    verdicts.ADDRESS_AS_NAME,
    verdicts.TRAPPED,
    verdicts.TOO_FAST,
    verdicts.NO_TIME,
    verdicts.CROWDED,
    verdicts.CHANGED,
    verdicts.REPEATED,
    "on the shop's list:",
    " links",
    akismet.SPAM,
    akismet.SILENT,
)


@dataclass(frozen=True, slots=True)
class CommentFilter:
    """What is looked for: a status (None for any), pieces of a post's title or address, a reason, pieces of words."""

    status: CommentStatus | None = CommentStatus.PENDING
    post: str = ""
    reason: str = ""
    words: str = ""

    @classmethod
    def asked(cls, arguments: Mapping[str, str]) -> "CommentFilter":
        """What a page's address asks for; what can't be understood is left out."""

        def text(name: str) -> str:
            return arguments.get(name, "").replace("\0", "").strip()[:LONGEST]

        state = arguments.get("state", CommentStatus.PENDING)
        status = CommentStatus(state) if state in set(CommentStatus) else CommentStatus.PENDING
        reason = text("reason")
        return cls(None if state == ANY else status, text("post"), reason if reason in _SHORT else "", text("words"))

    @property
    def arguments(self) -> dict[str, Any]:
        """The same as a page's address says it, without what is usual."""
        said: dict[str, Any] = {"post": self.post, "reason": self.reason, "words": self.words}
        if self.status is not CommentStatus.PENDING:
            said["state"] = self.status.value if self.status else ANY
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class FoundComments:
    """A page of comments with their threads, how many there are in all, and where the next page begins, if any."""

    rows: list[tuple[Comment, Thread]]
    count: int
    next_after: int | None


def find_comments(session: Session, wanted: CommentFilter, *, after: int | None = None) -> FoundComments:
    """A page of what is looked for: what waits, the oldest first; anything else, the newest first."""
    narrow = _conditions(wanted)
    joined = Thread.id == Comment.thread_id
    count = session.scalar(select(func.count()).select_from(Comment).join(Thread, joined).where(*narrow)) or 0
    oldest_first = wanted.status is CommentStatus.PENDING
    query = select(Comment, Thread).join(Thread, joined).where(*narrow)
    if after is not None:
        query = query.where(Comment.id > after if oldest_first else Comment.id < after)
    query = query.order_by(Comment.id if oldest_first else Comment.id.desc()).limit(PAGE + 1)
    rows = [(comment, thread) for comment, thread in session.execute(query)]
    return FoundComments(rows[:PAGE], count, rows[PAGE - 1][0].id if len(rows) > PAGE else None)


def short_reasons() -> list[str]:
    """The reasons as they are chosen from."""
    return list(_SHORT)


def _conditions(wanted: CommentFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status:
        conditions.append(Comment.status == wanted.status)
    if wanted.post:
        conditions.append(_says(wanted.post, Thread.title, Thread.path))
    if wanted.reason:
        kept = json.dumps(_SHORT[wanted.reason])[1:-1]
        conditions.append(cast(Comment.reasons, String).contains(kept, autoescape=True))
    if wanted.words:
        conditions.append(_says(wanted.words, Comment.text, Comment.author))
    return conditions


def _says(words: str, *columns: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return or_(*(column.icontains(words, autoescape=True) for column in columns))


_SHORT = {reason.strip(" :"): reason for reason in REASONS}
