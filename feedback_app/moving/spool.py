"""Comments on their way, in a file that is gone afterwards: sorted by time without being held in memory."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feedback_app.moving.formats.records import BodyKind, ForeignComment, ForeignStatus, ForeignThread

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE threads (id TEXT PRIMARY KEY, places TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE comments (
    id TEXT PRIMARY KEY, thread TEXT, parent TEXT, author TEXT, body TEXT, kind TEXT, created INTEGER, edited INTEGER,
    standing TEXT, by_owner INTEGER, ours INTEGER, our_thread INTEGER
);
CREATE INDEX by_time ON comments (created);
"""
_ALL = "id, thread, parent, author, body, kind, created, edited, standing, by_owner"


@dataclass(slots=True)
class Spool:
    """An open spool."""

    database: sqlite3.Connection

    def keep_thread(self, thread: ForeignThread) -> None:
        """Keep where a thread's post is; of two that say it, the first is right."""
        self.database.execute("INSERT OR IGNORE INTO threads VALUES (?, ?)", (thread.id, json.dumps(thread.places)))

    def keep(self, comment: ForeignComment) -> bool:
        """Keep a comment; returns whether there was none of this id yet."""
        values = (
            comment.id,
            comment.thread,
            comment.parent,
            comment.author,
            comment.body,
            comment.kind.value,
            _number(comment.created_at),
            _number(comment.edited_at) if comment.edited_at else None,
            comment.standing.value,
            comment.by_owner,
        )
        places = ", ".join("?" * len(values))
        kept = self.database.execute(f"INSERT OR IGNORE INTO comments ({_ALL}) VALUES ({places})", values)  # noqa: S608
        return kept.rowcount > 0

    def places(self, thread: str) -> list[str]:
        """Where a thread's post may be."""
        row = self.database.execute("SELECT places FROM threads WHERE id = ?", (thread,)).fetchone()
        return list(json.loads(row[0])) if row else []

    def count(self) -> int:
        """How many comments there are."""
        return int(self.database.execute("SELECT count(*) FROM comments").fetchone()[0])

    def comments(self) -> Iterator[ForeignComment]:
        """All of them, the oldest first: what is answered comes before its answers, but for clocks that go wrong."""
        for row in self.database.execute(f"SELECT {_ALL} FROM comments ORDER BY created, rowid"):  # noqa: S608 - ours
            yield ForeignComment(
                id=row[0],
                thread=row[1],
                parent=row[2],
                author=row[3],
                body=row[4],
                kind=BodyKind(row[5]),
                created_at=_moment(row[6]),
                edited_at=None if row[7] is None else _moment(row[7]),
                standing=ForeignStatus(row[8]),
                by_owner=bool(row[9]),
            )

    def note_ours(self, numbers: list[tuple[int, int, str]]) -> None:
        """Remember our own number and thread of comments, each with its id there."""
        self.database.executemany("UPDATE comments SET ours = ?, our_thread = ? WHERE id = ?", numbers)

    def ours(self, id_: str) -> tuple[int, int] | None:
        """Our own number and thread of a comment, if it came over."""
        row = self.database.execute("SELECT ours, our_thread FROM comments WHERE id = ?", (id_,)).fetchone()
        return (row[0], row[1]) if row and row[0] is not None else None


@contextmanager
def spooling() -> Iterator[Spool]:
    """A spool, for the length of the `with`; nobody else can read it."""
    with (
        tempfile.TemporaryDirectory(prefix="undisclosed-") as folder,
        closing(sqlite3.connect(Path(folder) / "spool.db", isolation_level=None)) as database,
    ):
        database.executescript(_TABLES)
        yield Spool(database)


def _number(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(number: int) -> datetime:
    return EPOCH + timedelta(microseconds=number)
