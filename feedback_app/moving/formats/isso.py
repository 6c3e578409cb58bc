"""Isso's database (its documentation, *Server configuration*, `dbpath`): a SQLite file, opened for reading only."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
)

# Isso's `mode`: 1 accepted, 2 waits, 4 deleted but kept for its answers.
STANDINGS = {1: ForeignStatus.SHOWN, 2: ForeignStatus.WAITING}
DELETED = 4
COLUMNS = "id, tid, parent, created, modified, mode, author, text, remote_addr, email, website, likes, dislikes"


def read(path: Path, reading: Reading) -> Iterator[Item]:
    """Everything in it."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            # What Isso wrote, and what somebody may have made of it since: text that is none stays away from us.
            database.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
            for number, uri in database.execute("SELECT id, uri FROM threads ORDER BY id"):
                yield ForeignThread(str(number), (str(uri),))
            for row in database.execute(f"SELECT {COLUMNS} FROM comments ORDER BY id"):  # noqa: S608 - our own names
                yield _comment(row, reading)
    except sqlite3.DatabaseError as error:
        message = f"{path}: this is not a whole database of Isso's ({error}): copy it again while Isso is stopped"
        raise UnreadableExport(message) from error


def _comment(row: tuple[Any, ...], reading: Reading) -> Item:
    number, thread, parent, created, modified, mode, author, text, network, email, website, likes, dislikes = row
    reading.drop(LeftBehind.NETWORKS, network)
    reading.drop(LeftBehind.ADDRESSES, email)
    reading.drop(LeftBehind.WEBSITES, website)
    reading.drop(LeftBehind.VOTES, likes or dislikes)
    moment = _moment(created)
    if mode == DELETED:
        return Skipped(str(number), "deleted there", settled=True)
    if mode not in STANDINGS or moment is None:
        return Skipped(str(number), "without a date or a thread")
    return ForeignComment(
        id=str(number),
        thread=str(thread),
        parent=None if parent is None else str(parent),
        author=str(author or ""),
        body=str(text or ""),
        kind=BodyKind.MARKDOWN,
        created_at=moment,
        edited_at=_moment(modified),
        standing=STANDINGS[mode],
    )


def _moment(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(seconds), UTC) if isinstance(seconds, (int, float)) else None
    except (OverflowError, ValueError, OSError):
        return None
