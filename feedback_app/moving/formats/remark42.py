"""Remark42's backup (its documentation, *Backup and restore*): JSON, a line about the file, then a comment a line."""

import json
from collections.abc import Iterator
from typing import IO, Any

from feedback_app.moving.formats.records import (
    BodyKind,
    ForeignComment,
    ForeignStatus,
    ForeignThread,
    Item,
    LeftBehind,
    Reading,
    Skipped,
    UnreadableExport,
    moment_of,
)

LINE_BYTES = 1024 * 1024


def read(file: IO[bytes], name: str, reading: Reading) -> Iterator[Item]:
    """Everything in it."""
    seen: set[str] = set()
    for number, line in enumerate(_lines(file), 1):
        if number == 1:
            # The version, the users and the posts: who was blocked, or verified, is no business of ours.
            if line and not line.startswith(b'{"version"'):
                message = f"{name}: line 1: this is not a backup of Remark42's, which begins with its version"
                raise UnreadableExport(message)
            continue
        if line is None or line.strip():
            yield from _item(number, line, reading, seen)


def _item(number: int, line: bytes | None, reading: Reading, seen: set[str]) -> Iterator[Item]:
    try:
        said: Any = json.loads(line) if line else None
        user, place = dict(said["user"]), str(said["locator"]["url"])
        id_, text = str(said["id"]), str(said.get("orig") or said.get("text") or "")
        edit = said.get("edit") or {}
        created, edited = moment_of(str(said["time"])), moment_of(str(edit.get("time") or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        yield Skipped(f"line {number}", "a line that is no comment")
        return
    reading.drop(LeftBehind.NETWORKS, user.get("ip"))
    reading.drop(LeftBehind.PICTURES, user.get("picture"))
    reading.drop(LeftBehind.VOTES, said.get("votes") or said.get("score"))
    if place not in seen:
        seen.add(place)
        yield ForeignThread(place, (place,))
    if said.get("delete"):
        yield Skipped(id_, "deleted there", settled=True)
    elif created is None:
        yield Skipped(id_, "without a date or a thread")
    else:
        yield ForeignComment(
            id=id_,
            thread=place,
            parent=str(said.get("pid") or "") or None,
            author=str(user.get("name") or ""),
            body=text,
            kind=BodyKind.MARKDOWN if said.get("orig") else BodyKind.HTML,
            created_at=created,
            edited_at=edited,
            standing=ForeignStatus.SHOWN,
            by_owner=user.get("admin") is True,
        )


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """The file's lines; None for one that is much too long, whose rest is passed over. The first may be long."""
    first = True
    while line := file.readline(LINE_BYTES):
        whole = line.endswith(b"\n")
        while not line.endswith(b"\n") and (rest := file.readline(LINE_BYTES)):
            whole = False
            if rest.endswith(b"\n"):
                break
        yield line if whole or first or len(line) < LINE_BYTES else None
        first = False
