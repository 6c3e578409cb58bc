"""What is known of the built site: what each post's file says, and of what each page was made.

One SQLite file in the instance. It holds nothing that can't be made again from the content and the store.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from feedback_app.config import Settings
from feedback_app.publishing.files.scan import Stamp
from feedback_app.publishing.files.write import Output

FORMAT = "4"
# How many paths are named in one question; for more, all are asked about.
MOST_NAMED = 500
# Connections of a parent, kept from being closed when nothing refers to them any more.
_parents: list[sqlite3.Connection] = []
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE posts (
    path TEXT PRIMARY KEY, mtime INTEGER, ctime INTEGER, size INTEGER, inode INTEGER, seen INTEGER, digest BLOB,
    face BLOB, card TEXT
) WITHOUT ROWID;
CREATE TABLE texts (path TEXT PRIMARY KEY, content TEXT, metadata TEXT, shown TEXT);
CREATE TABLE asked (name TEXT PRIMARY KEY, posts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outputs (name TEXT PRIMARY KEY, key BLOB, mtime INTEGER, size INTEGER, inode INTEGER) WITHOUT ROWID;
CREATE TABLE shows (page TEXT, thread TEXT, PRIMARY KEY (page, thread)) WITHOUT ROWID;
CREATE INDEX shown ON shows (thread);
CREATE TABLE threads (path TEXT PRIMARY KEY, version INTEGER, count INTEGER) WITHOUT ROWID;
CREATE TABLE pieces (name TEXT PRIMARY KEY, asked INTEGER, key BLOB, html TEXT);
CREATE TABLE templates (key TEXT PRIMARY KEY, code BLOB);
"""


class Known(NamedTuple):
    """What is known of a post's file: its stamp, when it was seen, its fingerprint, and what lists show of the post.

    `face` is a fingerprint of the card.
    """

    stamp: Stamp
    seen: int
    digest: bytes
    face: bytes
    card: dict[str, Any]


class Piece(NamedTuple):
    """A piece of a list: whether more than cards was asked of its posts, what it was made of, and itself."""

    asked: bool
    key: bytes
    html: str


@dataclass(slots=True)
class BuildCache:
    """An open shelf."""

    database: sqlite3.Connection
    path: Path
    is_childs: bool = False

    @classmethod
    def at(cls, settings: Settings) -> "BuildCache":
        """The instance's shelf; an empty one where there is none, or none that this version can read."""
        path = settings.instance / "site.db"
        settings.instance.mkdir(parents=True, exist_ok=True)
        where = str(settings.output.resolve())
        try:
            shelf = cls(_connect(path), path)
            if shelf.fact("format") == FORMAT and shelf.fact("output") == where:
                return shelf
            shelf.close()
        except sqlite3.DatabaseError:
            pass
        forget(settings)
        shelf = cls(_connect(path), path)
        shelf.database.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
        shelf.note(format=FORMAT, output=where)
        return shelf

    @classmethod
    def made(cls, settings: Settings) -> "BuildCache | None":
        """The instance's shelf if a site was built and not forgotten since."""
        if not (settings.instance / "site.db").exists():
            return None
        shelf = cls.at(settings)
        if shelf.fact("key"):
            return shelf
        shelf.close()
        return None

    def close(self) -> None:
        """Put it away."""
        self.database.close()

    def reopen(self) -> None:
        """Open it anew in a child: a connection is its process' own."""
        # Not closed: closing would end the locks of the parent, too.
        _parents.append(self.database)
        self.database = _connect(self.path)
        self.is_childs = True

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One change, whole or not at all."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield self.database
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def fact(self, name: str) -> str:
        """One thing that is known; nothing if it is not."""
        row = self.database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def note(self, **facts: str) -> None:
        """Remember some things."""
        with self.writing() as database:
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    def names(self) -> dict[str, frozenset[str] | None]:
        """Every name that a template may look up, for each that was asked about; None where that can't be said."""
        known = json.loads(self.fact("names") or "{}")
        return {template: None if names is None else frozenset(names) for template, names in known.items()}

    def keep_names(self, names: Mapping[str, frozenset[str] | None]) -> None:
        """Remember what templates may look up."""
        kept = {template: None if of is None else sorted(of) for template, of in names.items()}
        self.note(names=json.dumps(kept))

    def clear(self) -> None:
        """Know nothing any more, except where the output is."""
        with self.writing() as database:
            for table in ("posts", "texts", "asked", "outputs", "shows", "threads", "pieces", "templates"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            database.execute("DELETE FROM facts WHERE name NOT IN ('format', 'output')")

    def posts(self) -> dict[str, Known]:
        """What is known of every post's file."""
        rows = self.database.execute("SELECT * FROM posts").fetchall()
        cards = json.loads(f"[{','.join(row[8] for row in rows)}]")
        return {row[0]: Known(row[1:5], row[5], row[6], row[7], card) for row, card in zip(rows, cards, strict=True)}

    def keep_posts(self, rows: Iterable[tuple[str, Known, str, str, str | None]], gone: Iterable[str]) -> None:
        """Remember posts: path, what is known, text, metadata, what is shown; and forget others."""
        posts, texts = [], []
        for path, known, *kept in rows:
            card = json.dumps(known.card, ensure_ascii=False)
            posts.append((path, *known.stamp, known.seen, known.digest, known.face, card))
            texts.append((path, *kept))
        with self.writing() as database:
            for path in gone:
                database.execute("DELETE FROM posts WHERE path = ?", (path,))
                database.execute("DELETE FROM texts WHERE path = ?", (path,))
            database.executemany("INSERT OR REPLACE INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", posts)
            database.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?)", texts)

    def keep_seen(self, rows: Iterable[tuple[str, Stamp, int]]) -> None:
        """Remember that files were looked into and are what they were."""
        with self.writing() as database:
            database.executemany(
                "UPDATE posts SET mtime = ?, ctime = ?, size = ?, inode = ?, seen = ? WHERE path = ?",
                [(*stamp, seen, path) for path, stamp, seen in rows],
            )

    def text(self, path: str) -> tuple[str, str] | None:
        """A post's text and metadata as they were read."""
        row = self.database.execute("SELECT content, metadata FROM texts WHERE path = ?", (path,)).fetchone()
        return (row[0], row[1]) if row else None

    def shown(self, path: str) -> str | None:
        """A post's text as its page shows it; None where that depends on other files."""
        row = self.database.execute("SELECT shown FROM texts WHERE path = ?", (path,)).fetchone()
        return row[0] if row else None

    def outputs(self) -> dict[str, Output]:
        """Every file of the site."""
        rows = self.database.execute("SELECT name, key, mtime, size, inode FROM outputs")
        return {name: Output(key, mtime, size, inode) for name, key, mtime, size, inode in rows}

    def threads(self) -> dict[str, tuple[int, int]]:
        """The version and the count of every thread as the site shows them, by path."""
        return {row[0]: (row[1], row[2]) for row in self.database.execute("SELECT path, version, count FROM threads")}

    def versions(self, of: Collection[str] | None = None) -> dict[str, int]:
        """The version of every thread (or of these) as the site shows it, by path."""
        if of is None or len(of) > MOST_NAMED:
            return dict(self.database.execute("SELECT path, version FROM threads").fetchall())
        places = ", ".join("?" * len(of))
        found = self.database.execute(f"SELECT path, version FROM threads WHERE path IN ({places})", list(of))  # noqa: S608
        return dict(found.fetchall())

    def keep_threads(self, threads: Mapping[str, tuple[int, int]]) -> None:
        """Remember which versions of threads the site shows, and how many comments of each."""
        rows = [(path, *shown) for path, shown in threads.items()]
        with self.writing() as database:
            database.executemany("INSERT OR REPLACE INTO threads VALUES (?, ?, ?)", rows)

    def keep_touched(self, files: Mapping[str, Path]) -> None:
        """Remember that files of the site were rewritten in place, by name."""
        rows = []
        for name, path in files.items():
            status = path.stat()
            rows.append((status.st_mtime_ns, status.st_size, status.st_ino, name))
        with self.writing() as database:
            database.executemany("UPDATE outputs SET mtime = ?, size = ?, inode = ? WHERE name = ?", rows)

    def asked(self) -> dict[str, list[str]]:
        """The posts of which a page shows more than their cards, for each page that is no post's own."""
        return {name: json.loads(posts) for name, posts in self.database.execute("SELECT name, posts FROM asked")}

    def keep_outputs(
        self,
        outputs: Mapping[str, Output],
        gone: Iterable[str],
        shows: Mapping[str, Iterable[str]],
        asked: Mapping[str, Sequence[str]],
    ) -> None:
        """Remember files of the site, forget others; `shows` are the threads that a page shows something of.

        `asked` are the posts of which a page shows more than their cards.
        """
        names = [(name,) for name in gone]
        with self.writing() as database:
            database.executemany("DELETE FROM outputs WHERE name = ?", names)
            database.executemany("DELETE FROM shows WHERE page = ?", names)
            database.executemany("DELETE FROM asked WHERE name = ?", names)
            database.executemany(
                "INSERT OR REPLACE INTO asked VALUES (?, ?)", [(name, json.dumps(of)) for name, of in asked.items()]
            )
            database.executemany(
                "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?)",
                [(name, *output) for name, output in outputs.items()],
            )
            for page, threads in shows.items():
                # An archive of ten thousand posts was made anew for one of them.
                now = set(threads)
                before = {thread for (thread,) in database.execute("SELECT thread FROM shows WHERE page = ?", (page,))}
                database.executemany(
                    "DELETE FROM shows WHERE page = ? AND thread = ?", [(page, thread) for thread in before - now]
                )
                database.executemany("INSERT INTO shows VALUES (?, ?)", [(page, thread) for thread in now - before])

    def forget_threads(self, paths: Iterable[str]) -> None:
        """Forget threads that the site does not show any more."""
        with self.writing() as database:
            database.executemany("DELETE FROM threads WHERE path = ?", [(path,) for path in paths])

    def pages_of(self, threads: Sequence[str]) -> dict[str, list[str]]:
        """Which pages show something of these threads: the threads of each page."""
        pages: dict[str, list[str]] = {}
        for thread in threads:
            for (page,) in self.database.execute("SELECT page FROM shows WHERE thread = ?", (thread,)):
                pages.setdefault(page, []).append(thread)
        return pages

    def piece(self, name: str) -> Piece | None:
        """A piece of a page that was made before."""
        row = self.database.execute("SELECT asked, key, html FROM pieces WHERE name = ?", (name,)).fetchone()
        return Piece(bool(row[0]), row[1], row[2]) if row else None

    def template(self, key: str) -> bytes | None:
        """The code of a template that was compiled before."""
        row = self.database.execute("SELECT code FROM templates WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def keep_template(self, key: str, code: bytes) -> None:
        """Remember a template's code."""
        with self.writing() as database:
            database.execute("INSERT OR REPLACE INTO templates VALUES (?, ?)", (key, code))

    def keep_pieces(self, pieces: Mapping[str, Piece]) -> None:
        """Remember pieces of pages, by their names."""
        with self.writing() as database:
            rows = [(name, *piece) for name, piece in pieces.items()]
            database.executemany("INSERT OR REPLACE INTO pieces VALUES (?, ?, ?, ?)", rows)


def forget(settings: Settings) -> None:
    """Take the shelf away."""
    for ending in ("", "-wal", "-shm"):
        (settings.instance / f"site.db{ending}").unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    # The lock of the site keeps writers apart; a reader may meet one of them.
    database = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database
