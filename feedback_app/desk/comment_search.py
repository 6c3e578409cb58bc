"""Searching comments by status, post, reason for waiting, and words."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.spam import akismet, verdicts

PAGE_SIZE = 50
MAX_SEARCH_LENGTH = 200
ANY = "any"
# The reasons to choose from. Some are followed by a number or a word in the stored reason.
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
    """What to search for: a status (None for any), and parts of a post's title or URL, of a reason, of the words."""

    status: CommentStatus | None = CommentStatus.PENDING
    post: str = ""
    reason: str = ""
    words: str = ""

    @classmethod
    def from_query(cls, arguments: Mapping[str, str]) -> "CommentFilter":
        """Read the filter from a URL's query; what can't be understood is ignored."""

        def text(name: str) -> str:
            return arguments.get(name, "").replace("\0", "").strip()[:MAX_SEARCH_LENGTH]

        state = arguments.get("state", CommentStatus.PENDING)
        status = CommentStatus(state) if state in set(CommentStatus) else CommentStatus.PENDING
        reason = text("reason")
        return cls(None if state == ANY else status, text("post"), reason if reason in _SHORT else "", text("words"))

    @property
    def query(self) -> dict[str, Any]:
        """The filter as a URL's query, without the default values."""
        values: dict[str, Any] = {"post": self.post, "reason": self.reason, "words": self.words}
        if self.status is not CommentStatus.PENDING:
            values["state"] = self.status.value if self.status else ANY
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class FoundComments:
    """A page of comments with their threads, the number of all matches, and the last comment's id if there are more."""

    rows: list[tuple[Comment, Thread]]
    count: int
    next_after: int | None


def find_comments(session: Session, wanted: CommentFilter, *, after: int | None = None) -> FoundComments:
    """Return a page of matches: comments that wait, oldest first; others, newest first."""
    conditions = _conditions(wanted)
    same_thread = Thread.id == Comment.thread_id
    count = session.scalar(select(func.count()).select_from(Comment).join(Thread, same_thread).where(*conditions)) or 0
    oldest_first = wanted.status is CommentStatus.PENDING
    query = select(Comment, Thread).join(Thread, same_thread).where(*conditions)
    if after is not None:
        query = query.where(Comment.id > after if oldest_first else Comment.id < after)
    query = query.order_by(Comment.id if oldest_first else Comment.id.desc()).limit(PAGE_SIZE + 1)
    rows = [(comment, thread) for comment, thread in session.execute(query)]
    return FoundComments(rows[:PAGE_SIZE], count, rows[PAGE_SIZE - 1][0].id if len(rows) > PAGE_SIZE else None)


def short_reasons() -> list[str]:
    """Return the reasons to choose from, shortened."""
    return list(_SHORT)


def _conditions(wanted: CommentFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.status:
        conditions.append(Comment.status == wanted.status)
    if wanted.post:
        conditions.append(_contains(wanted.post, Thread.title, Thread.path))
    if wanted.reason:
        stored = json.dumps(_SHORT[wanted.reason])[1:-1]
        conditions.append(cast(Comment.reasons, String).contains(stored, autoescape=True))
    if wanted.words:
        conditions.append(_contains(wanted.words, Comment.text, Comment.author))
    return conditions


def _contains(words: str, *columns: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return or_(*(column.icontains(words, autoescape=True) for column in columns))


_SHORT = {reason.strip(" :"): reason for reason in REASONS}
