"""What another system's export says, in words of our own. Its readers yield these, one after the other.

Addresses, network addresses, websites, pictures of people and votes never get this far: a reader counts that they were
there, and drops them.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum


class UnreadableExport(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The file as a whole can't be read; one line that says why and what to do."""


class BodyKind(StrEnum):
    """How a comment's words are written."""

    HTML = "html"
    # HTML in which a line break is one (WordPress).
    LINES = "lines"
    MARKDOWN = "markdown"


class ForeignStatus(StrEnum):
    """What the other system had decided about a comment that is to come over."""

    SHOWN = "shown"
    WAITING = "waiting"


class LeftBehind(StrEnum):
    """What stood in the file about people, and stays there: nobody of them has agreed to anything here."""

    ADDRESSES = "e-mail addresses"
    NETWORKS = "network addresses"
    WEBSITES = "websites"
    PICTURES = "pictures of people"
    VOTES = "votes"


@dataclass(frozen=True, slots=True)
class ForeignThread:
    """Where the comments that name this thread belong: the addresses or paths of its post, the likeliest first."""

    id: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForeignComment:
    """A comment as it stood there. `thread` and `parent` are ids of its own system."""

    id: str
    thread: str
    parent: str | None
    author: str
    body: str
    kind: BodyKind
    created_at: datetime
    edited_at: datetime | None = None
    standing: ForeignStatus = ForeignStatus.SHOWN
    by_owner: bool = False


@dataclass(frozen=True, slots=True)
class ForeignPost:
    """A post as it stood there; `moment` has the zone of the export, or none where the export does not say one."""

    id: str
    title: str
    body: str
    place: str
    slug: str
    moment: datetime | None
    labels: tuple[str, ...] = ()
    summary: str = ""
    draft: bool = False
    lines: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that does not come over, and why.

    `is_post`: it is no comment. `settled`: it had no place on the site that it comes from either (spam, what was
    deleted, pingbacks), so that nobody has to do anything about it.
    """

    id: str
    reason: str
    is_post: bool = False
    settled: bool = False


Item = ForeignThread | ForeignComment | ForeignPost | Skipped


@dataclass(slots=True)
class Reading:
    """What a reader notices besides what it yields."""

    behind: Counter[LeftBehind] = field(default_factory=Counter)

    def drop(self, kind: LeftBehind, value: object) -> None:
        """Count something that stays behind, where there is anything."""
        if value:
            self.behind[kind] += 1


def moment_of(text: str | None) -> datetime | None:
    """A moment as exports write it (RFC 3339, or MySQL's in UTC), or None where it can't be read."""
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    try:
        # One too close to the end of time has none in UTC.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None
