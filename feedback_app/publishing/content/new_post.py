"""Writing: new posts, the list of those there are, and the private places where unfinished ones can be seen."""

import base64
import hmac
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from runpy import run_path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from feedback_app.patterns.address_patterns import address_shaped
from feedback_app.publishing.masking import masked

KINDS = frozenset({".md", ".markdown", ".mkd", ".mdown"})
LONGEST_TITLE = 200
LONGEST_SLUG = 80
TOKEN_LETTERS = 24
_HEAD = re.compile(r"([\w-]+)[ \t]*:[ \t]*(.*)")


class PostNotMade(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A post can't be begun; one line that says why and what to do."""


class PostStatus(StrEnum):
    """Where a post stands: `scheduled` is one that is published, with a date that has not come yet."""

    PUBLISHED = "published"
    SCHEDULED = "scheduled"
    HIDDEN = "hidden"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class PostFile:
    """A post as its head describes it. `date` is None where the head has none that can be read."""

    file: Path
    title: str
    slug: str
    date: datetime | None
    status: PostStatus
    labels: list[str]
    path: str


def preview_path(key: bytes, source: Path, slug: str) -> str:
    """Where whoever was given the link sees what is not published: a place that can't be guessed without the key."""
    digest = hmac.digest(key, b"preview " + source.as_posix().encode(), "sha256")
    return f"preview/{base64.urlsafe_b64encode(digest).decode()[:TOKEN_LETTERS]}/{slug}.html"


def slug_of(title: str) -> str:
    """A title as a piece of an address: small letters without accents, digits, hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"['\u2019`]", "", plain)).strip("-")[:LONGEST_SLUG].rstrip("-")


def zone_of(configuration: Path) -> ZoneInfo:
    """The clock on the shop's wall, as `pelicanconf.py` says. Raises NotWritten."""
    try:
        return ZoneInfo(run_path(str(configuration)).get("TIMEZONE", "UTC"))
    except FileNotFoundError as error:
        message = f"{configuration}: there is no such file here: run this in the folder of your shop"
        raise PostNotMade(message) from error
    except (ZoneInfoNotFoundError, ValueError) as error:
        message = f"{configuration}: TIMEZONE is no time zone that this machine knows: America/New_York, say"
        raise PostNotMade(message) from error


def begin_post(content: Path, title: str, labels: Sequence[str], *, now: datetime) -> Path:
    """Make a new post's file, a draft with a whole head; `now` is the shop's own time. Raises NotWritten."""
    title = " ".join(title.split())
    slug = slug_of(masked(title, {}))
    if not slug or len(title) > LONGEST_TITLE or not title.isprintable():
        message = f"a title is one line of at most {LONGEST_TITLE} letters, with a letter or a digit of ours in it"
        raise PostNotMade(message)
    labels = [" ".join(label.split()) for label in labels]
    if any(not label or "," in label or ";" in label or not label.isprintable() for label in labels):
        message = "a label is a word or a few, without commas: give --label once for each"
        raise PostNotMade(message)
    if any(address_shaped(text, ()) for text in (title, *labels)):
        message = "there is an address in the title or in a label: everybody would see it"
        raise PostNotMade(message)
    folder = content / "posts"
    if not folder.is_dir():
        message = f"{folder}: there is no such folder: run this in the folder of your shop"
        raise PostNotMade(message)
    if any(
        post.slug == slug and post.date and f"{post.date:%Y%m}" == f"{now:%Y%m}" for post in written(content, now=now)
    ):
        message = f"there is a post {slug!r} this month already: choose another title"
        raise PostNotMade(message)
    head = {
        "Title": title,
        "Date": f"{now:%Y-%m-%d %H:%M}",
        "Slug": slug,
        "Tags": ", ".join(dict.fromkeys(labels)),
        "Status": PostStatus.DRAFT.value,
        "Summary": "",
    }
    file = folder / f"{now:%Y-%m-%d}-{slug}.md"
    text = "\n".join(f"{name}: {value}".rstrip() for name, value in head.items() if value or name == "Summary")
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(f"{text}\n\n\n")
    except FileExistsError as error:
        message = f"{file}: there is a file of this name already"
        raise PostNotMade(message) from error
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise PostNotMade(message) from error
    return file


def written(content: Path, *, now: datetime) -> list[PostFile]:
    """Every post, newest first; those without a readable date in front. `now` is the shop's own time."""
    posts = list(_written(content / "posts", now))
    return sorted(posts, key=lambda post: (post.date is None, post.date or now, post.slug), reverse=True)


def status_of(file: Path, *, now: datetime) -> PostStatus:
    """Where the post in a file stands at the shop's own time `now`."""
    head = _head(file)
    return _status(head.get("status", ""), _date(head.get("date", ""), now), now)


def _written(folder: Path, now: datetime) -> Iterator[PostFile]:
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in KINDS or not file.is_file():
            continue
        head = _head(file)
        title = masked(head.get("title", ""), {})
        slug = head.get("slug") or slug_of(title)
        date = _date(head.get("date", ""), now)
        status = _status(head.get("status", ""), date, now)
        labels = [label.strip() for label in re.split("[,;]", head.get("tags", "")) if label.strip()]
        path = f"/{date:%Y/%m}/{slug}.html" if date else f"/{slug}.html"
        yield PostFile(file, title, slug, date, status, labels, path)


def _head(file: Path) -> dict[str, str]:
    head: dict[str, str] = {}
    # A post that is not in UTF-8 is refused by the build; it is listed all the same.
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        for line in lines:
            found = _HEAD.match(line)
            if not found:
                break
            head.setdefault(found[1].lower(), found[2].strip())
    return head


def _date(text: str, now: datetime) -> datetime | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=now.tzinfo)


def _status(text: str, date: datetime | None, now: datetime) -> PostStatus:
    status = PostStatus(text.lower()) if text.lower() in {"draft", "hidden"} else PostStatus.PUBLISHED
    return PostStatus.SCHEDULED if status is PostStatus.PUBLISHED and date and date > now else status
