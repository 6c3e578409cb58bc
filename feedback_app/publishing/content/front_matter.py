"""What is wrong with a post's file, by its line, before Pelican says it in its own words, or not at all."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pelican.utils import get_date

from feedback_app.publishing.content.new_post import PostStatus

# What a status may be: a scheduled post says `published`, and Pelican knows one more.
STATUSES = (PostStatus.PUBLISHED.value, PostStatus.HIDDEN.value, PostStatus.DRAFT.value)
_HEAD = re.compile(r"[ ]{0,3}([\w-]+):[ \t]*(.*)")
_ISO = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])(?: [01]\d:[0-5]\d)?")


def head_lines(text: str) -> dict[str, tuple[int, str]]:
    """What a head says, by its names in small letters: the line's number, and what it says first."""
    head: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = _HEAD.match(line)
        if not line.strip() or not (found or line.startswith("    ")):
            break
        if found:
            head.setdefault(found[1].lower(), (number, found[2].strip()))
    return head


def problems(path: Path, data: bytes, values: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Why a file can't be a post, each with its line. `values` are Pelican's settings."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield data.count(b"\n", 0, error.start) + 1, "this is not UTF-8: save the file again as UTF-8"
        return
    head = head_lines(text)
    given = {**values["DEFAULT_METADATA"], **_of_the_name(path, values["FILENAME_METADATA"])}
    if not text.strip():
        yield 1, "an empty file is no post: begin with `undisclosed post new TITLE`"
        return
    if not head:
        yield 1, "there is no head: begin with lines `Title: …` and `Date: …`, and an empty line after them"
        return
    if not head.get("title", (0, ""))[1] and "title" not in given:
        yield 1, "the head has no title: write a line `Title: …`"
    if "date" not in head and "date" not in given and not values.get("DEFAULT_DATE"):
        yield 1, "the head has no date: write a line `Date: 2007-10-10 09:41`"
    for name in ("date", "modified"):
        number, said = head.get(name, (0, ""))
        if number and not _is_date(said):
            yield number, f"this is no date: write `{name.title()}: 2007-10-10 09:41`"
    number, said = head.get("status", (0, ""))
    if said and said not in {*STATUSES, "skip"}:
        yield number, f"there is no status {said!r}: {', '.join(STATUSES[:-1])} or {STATUSES[-1]}"


def line_of(path: Path, name: str) -> str:
    """`content/posts/opps.md:3`, the place where a head says something; the file alone where it does not."""
    try:
        number, _ = head_lines(path.read_text(encoding="utf-8-sig")).get(name, (0, ""))
    except (OSError, UnicodeDecodeError):
        number = 0
    return f"{path}:{number}" if number else str(path)


def _of_the_name(path: Path, pattern: str) -> dict[str, str | None]:
    found = re.match(pattern, path.stem) if pattern else None
    return found.groupdict() if found else {}


def _is_date(said: str) -> bool:
    if _ISO.fullmatch(said):
        return True
    try:
        get_date(said.replace("_", " "))
    except (ValueError, TypeError, OverflowError):
        return False
    return True
