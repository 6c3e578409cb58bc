"""The one renderer of threads, counts and comment feeds: a full build and an approved comment use the same lines.

Everything is printed through an environment that escapes; only `Comment.html`, which the gate has cleaned, is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, cast
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from feedback_app.clock import rfc3339
from feedback_app.comments.models import ShownComment
from feedback_app.plurals import counted

DEEPEST = 4
FEED_LENGTH = 50
# A feed needs a date (RFC 4287, 4.1.1), also where nothing has happened yet.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# In the shop's language, whatever the process' locale; a date in each comment is too often for `strftime`.
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """Where the blog is: its public address (no trailing slash), its name, the clock on its wall."""

    site_url: str
    site_name: str
    zone: ZoneInfo


@dataclass(slots=True)
class Node:
    """A comment and the answers drawn below it."""

    comment: ShownComment
    answers: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Entry:
    """A comment in a feed, with its post's path, title and time."""

    comment: ShownComment
    path: str
    title: str
    published_at: datetime


def clock(moment: datetime) -> str:
    """A time as the blog's readers know it: 9:41 AM."""
    return f"{moment.hour % 12 or 12}:{moment.minute:02} {'AM' if moment.hour < 12 else 'PM'}"  # noqa: PLR2004 - noon


def long_date(moment: datetime) -> str:
    """A date and time as the blog's readers know it: October 10, 2007, 9:41 AM."""
    return f"{MONTHS[moment.month - 1]} {moment.day}, {moment.year}, {clock(moment)}"


def tree(comments: Sequence[ShownComment]) -> list[Node]:
    """The comments as they are drawn: answers below what they answer, the deepest ones side by side.

    An answer to a comment that is not shown any more stands on its own.
    """
    nodes = {comment.id: Node(comment) for comment in comments}
    depth: dict[int, int] = {}
    above: dict[int, Node] = {}
    top = []
    for comment in comments:
        parent = nodes.get(comment.parent_id) if comment.parent_id is not None else None
        if parent is None or parent.comment.id not in depth:
            depth[comment.id] = 1
            top.append(nodes[comment.id])
            continue
        if depth[parent.comment.id] >= DEEPEST:
            parent = above[parent.comment.id]
        depth[comment.id] = depth[parent.comment.id] + 1
        above[comment.id] = parent
        parent.answers.append(nodes[comment.id])
    return top


def count_text(count: int) -> str:
    """`1 Comment`, `2 Comments`."""
    return counted(count, "Comment")


def form_url(path: str, parent: int | None = None) -> str:
    """Where the form for a comment on a post (or an answer) is."""
    answer = "" if parent is None else f"&parent={parent}"
    return f"/feedback/comments/new?post={link_path(path)}{answer}"


def received_url(path: str, *, waits: bool, asked: bool) -> str:
    """Where it is said what happens to a comment on a post that was sent."""
    return f"/feedback/comments/received?post={link_path(path)}&waits={_yes(waits)}{'&asked=yes' if asked else ''}"


def _yes(truth: bool) -> str:  # noqa: FBT001 - a word for it
    return "yes" if truth else "no"


@lru_cache(maxsize=256)
def link_path(path: str) -> str:
    """A post's path as it stands in a link (RFC 3986)."""
    return quote(path)


def feed_path(path: str) -> str:
    """Where a post's comment feed is."""
    return f"{path.removesuffix('.html')}.comments.atom.xml"


def thread_html(path: str, comments: Sequence[ShownComment], place: SiteInfo, *, closed: bool = False) -> Markup:
    """A post's thread as it stands in its page, and below it the way to the form, or that there is none any more."""
    html = _environment.get_template("comments/thread.html").render(
        path=path, count=count_text(len(comments)), nodes=tree(comments), zone=place.zone, closed=closed
    )
    return Markup(html)  # noqa: S704 - made by the escaping environment


def thread_feed(
    path: str, title: str, published_at: datetime, comments: Sequence[ShownComment], place: SiteInfo
) -> str:
    """The Atom feed of one post's comments, newest first (RFC 4287, with RFC 4685's threading)."""
    entries = [Entry(comment, path, title, published_at) for comment in reversed(comments)]
    return _feed(
        place,
        title=f"Comments on {title}",
        page=path,
        feed=feed_path(path),
        entries=entries,
        published_at=published_at,
    )


def site_feed(entries: Sequence[Entry], published_at: datetime, place: SiteInfo) -> str:
    """The Atom feed of the whole blog's newest comments."""
    return _feed(
        place,
        title=f"Comments on {place.site_name}",
        page="/",
        feed="/feeds/comments.atom.xml",
        entries=entries,
        published_at=published_at,
    )


def _feed(
    place: SiteInfo, *, title: str, page: str, feed: str, entries: Sequence[Entry], published_at: datetime
) -> str:
    # Where nobody has commented yet, the post itself is the latest that happened.
    updated = max([published_at, *(entry.comment.changed_at for entry in entries)])
    shown = [_entry_xml(one, place) for one in entries]
    return _environment.get_template("comments/feed.xml").render(
        title=title, page=page, feed=feed, entries=shown, updated=updated, place=place, tag=_tag(place.site_url)
    )


@lru_cache(maxsize=4 * FEED_LENGTH)
def _entry_xml(entry: Entry, place: SiteInfo) -> Markup:
    """A comment in a feed. Of the blog's feed, fifty of which one is new, those that are known are not made again."""
    return _entry_macro()(entry, _post_tag(entry, place), _tag(place.site_url), place)


@cache
def _entry_macro() -> Callable[[Entry, str, str, SiteInfo], Markup]:
    return cast("Any", _environment.get_template("comments/entry.xml").module).entry  # type: ignore[no-any-return]


@cache
def _host(site_url: str) -> str | None:
    return urlsplit(site_url).hostname


def _tag(site_url: str) -> str:
    # RFC 4151: a tag URI's authority is a host and a date on which the name was its owner's.
    return f"tag:{_host(site_url)},2007:"


def _post_tag(entry: Entry, place: SiteInfo) -> str:
    """A post's id, as the feed of posts has it: a comment answers that very entry (RFC 4685, section 3)."""
    day = entry.published_at.astimezone(place.zone).date()
    return f"tag:{_host(place.site_url)},{day}:{entry.path}"


_environment = Environment(
    loader=PackageLoader("feedback_app"),
    # The program's own templates change with the program.
    auto_reload=False,
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_environment.filters |= {"long_date": long_date, "rfc3339": rfc3339, "link_path": link_path}
_environment.globals |= {"form_url": form_url, "feed_path": feed_path}
