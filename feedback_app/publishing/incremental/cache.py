"""The build cache: what each post's file says, and what each page was made from.

One SQLite file, `site.db`, in the instance. It holds nothing that cannot be made again from the content and the store;
deleting it costs one full build.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from feedback_app.config import Settings
from feedback_app.publishing.files.scan import Stamp
from feedback_app.publishing.files.write import Output
from feedback_app.publishing.incremental.records import ListPiece, PostRecord, PostTexts

# Another format is not converted: the cache is made anew.
FORMAT = "5"
# For more paths than this, one query reads all rows.
MAX_PATHS_IN_QUERY = 500
# The parent's connections in a child. They must be neither closed nor garbage collected there: closing one would
# release the parent's locks on the file.
_parent_connections: list[sqlite3.Connection] = []
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE posts (
    path TEXT PRIMARY KEY, mtime INTEGER, ctime INTEGER, size INTEGER, inode INTEGER, read_at INTEGER,
    file_digest BLOB, card_digest BLOB, card TEXT
) WITHOUT ROWID;
CREATE TABLE texts (path TEXT PRIMARY KEY, content TEXT, metadata TEXT, page_text TEXT);
CREATE TABLE full_reads (page TEXT PRIMARY KEY, posts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outputs (name TEXT PRIMARY KEY, key BLOB, mtime INTEGER, size INTEGER, inode INTEGER) WITHOUT ROWID;
CREATE TABLE page_threads (page TEXT, thread TEXT, PRIMARY KEY (page, thread)) WITHOUT ROWID;
CREATE INDEX page_threads_by_thread ON page_threads (thread);
CREATE TABLE threads (path TEXT PRIMARY KEY, version INTEGER, count INTEGER) WITHOUT ROWID;
CREATE TABLE pieces (name TEXT PRIMARY KEY, reads_full_posts INTEGER, key BLOB, html TEXT);
CREATE TABLE templates (key TEXT PRIMARY KEY, code BLOB);
"""
_CLEARED = ("posts", "texts", "full_reads", "outputs", "page_threads", "threads", "pieces", "templates")


@dataclass(slots=True)
class BuildCache:
    """An open build cache."""

    database: sqlite3.Connection
    path: Path
    in_child: bool = False

    @classmethod
    def open(cls, settings: Settings) -> "BuildCache":
        """Open the instance's cache; make an empty one where there is none that this version can read."""
        path = settings.instance / "site.db"
        settings.instance.mkdir(parents=True, exist_ok=True)
        output = str(settings.output.resolve())
        try:
            cache = cls(_connect(path), path)
            if cache.get_fact("format") == FORMAT and cache.get_fact("output") == output:
                return cache
            cache.close()
        except sqlite3.DatabaseError:
            pass
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        cache = cls(_connect(path), path)
        cache.database.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
        cache.set_facts(format=FORMAT, output=output)
        return cache

    @classmethod
    def open_built(cls, settings: Settings) -> "BuildCache | None":
        """Open the instance's cache if it describes a built site; None if no site was built, or it was forgotten."""
        if not (settings.instance / "site.db").exists():
            return None
        cache = cls.open(settings)
        if cache.get_fact("key"):
            return cache
        cache.close()
        return None

    def close(self) -> None:
        """Close the connection."""
        self.database.close()

    def reopen_in_child(self) -> None:
        """Open a connection of this child's own: SQLite's connections must not cross a fork."""
        _parent_connections.append(self.database)
        self.database = _connect(self.path)
        self.in_child = True

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make one change, whole or not at all."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield self.database
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    def get_fact(self, name: str) -> str:
        """Return one fact about the site; an empty text if it is not known."""
        row = self.database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def set_facts(self, **facts: str) -> None:
        """Save facts about the site."""
        with self.transaction() as database:
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    def clear(self) -> None:
        """Forget everything except where the output is."""
        with self.transaction() as database:
            for table in _CLEARED:
                database.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            database.execute("DELETE FROM facts WHERE name NOT IN ('format', 'output')")

    # Posts, by the paths of their files in the content folder.

    def posts(self) -> dict[str, PostRecord]:
        """Return the record of every post's file."""
        rows = self.database.execute("SELECT * FROM posts").fetchall()
        # One JSON document: parsing ten thousand small ones takes a noticeable part of a cold start.
        cards = json.loads(f"[{','.join(row[8] for row in rows)}]")
        return {
            row[0]: PostRecord(row[1:5], row[5], row[6], row[7], card) for row, card in zip(rows, cards, strict=True)
        }

    def save_posts(self, posts: Iterable[tuple[str, PostRecord, PostTexts]], gone: Iterable[str]) -> None:
        """Save posts that were read, and delete those whose files are gone."""
        records, texts = [], []
        for path, record, text in posts:
            card = json.dumps(record.card, ensure_ascii=False)
            records.append((path, *record.stamp, record.read_at, record.file_digest, record.card_digest, card))
            texts.append((path, *text))
        paths = [(path,) for path in gone]
        with self.transaction() as database:
            database.executemany("DELETE FROM posts WHERE path = ?", paths)
            database.executemany("DELETE FROM texts WHERE path = ?", paths)
            database.executemany("INSERT OR REPLACE INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", records)
            database.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?)", texts)

    def save_stamps(self, stamps: Iterable[tuple[str, Stamp, int]]) -> None:
        """Save the stamps of files that were touched but say what they said, each with when it was read."""
        with self.transaction() as database:
            database.executemany(
                "UPDATE posts SET mtime = ?, ctime = ?, size = ?, inode = ?, read_at = ? WHERE path = ?",
                [(*stamp, read_at, path) for path, stamp, read_at in stamps],
            )

    def texts(self, path: str) -> PostTexts | None:
        """Return a post's texts as they were read."""
        row = self.database.execute("SELECT content, metadata, page_text FROM texts WHERE path = ?", (path,)).fetchone()
        return PostTexts(*row) if row else None

    # Files of the site, by their names in the output folder.

    def outputs(self) -> dict[str, Output]:
        """Return every file of the site."""
        rows = self.database.execute("SELECT name, key, mtime, size, inode FROM outputs")
        return {name: Output(key, mtime, size, inode) for name, key, mtime, size, inode in rows}

    def save_outputs(
        self,
        outputs: Mapping[str, Output],
        gone: Iterable[str],
        threads: Mapping[str, Iterable[str]],
        full_reads: Mapping[str, Sequence[str]],
    ) -> None:
        """Save files of the site, and delete others.

        `threads` are the threads that each page shows anything of, `full_reads` the posts of which each page shows
        more than their cards.
        """
        names = [(name,) for name in gone]
        reads = [(page, json.dumps(posts)) for page, posts in full_reads.items()]
        rows = [(name, *output) for name, output in outputs.items()]
        with self.transaction() as database:
            database.executemany("DELETE FROM outputs WHERE name = ?", names)
            database.executemany("DELETE FROM page_threads WHERE page = ?", names)
            database.executemany("DELETE FROM full_reads WHERE page = ?", names)
            database.executemany("INSERT OR REPLACE INTO full_reads VALUES (?, ?)", reads)
            database.executemany("INSERT OR REPLACE INTO outputs VALUES (?, ?, ?, ?, ?)", rows)
            for page, paths in threads.items():
                # Only the difference: the archive lists ten thousand posts and changes with each of them.
                new = set(paths)
                old = {row[0] for row in database.execute("SELECT thread FROM page_threads WHERE page = ?", (page,))}
                database.executemany(
                    "DELETE FROM page_threads WHERE page = ? AND thread = ?", [(page, path) for path in old - new]
                )
                database.executemany("INSERT INTO page_threads VALUES (?, ?)", [(page, path) for path in new - old])

    def save_rewritten(self, files: Mapping[str, Path]) -> None:
        """Save that files of the site were rewritten in place."""
        rows = []
        for name, path in files.items():
            status = path.stat()
            rows.append((status.st_mtime_ns, status.st_size, status.st_ino, name))
        with self.transaction() as database:
            database.executemany("UPDATE outputs SET mtime = ?, size = ?, inode = ? WHERE name = ?", rows)

    def full_reads(self) -> dict[str, list[str]]:
        """Return the posts of which a page shows more than their cards, for each page that is not a post's own."""
        return {page: json.loads(posts) for page, posts in self.database.execute("SELECT * FROM full_reads")}

    def pages_showing(self, threads: Sequence[str]) -> dict[str, list[str]]:
        """Return the pages that show anything of these threads, each with which of them."""
        pages: dict[str, list[str]] = {}
        for thread in threads:
            for (page,) in self.database.execute("SELECT page FROM page_threads WHERE thread = ?", (thread,)):
                pages.setdefault(page, []).append(thread)
        return pages

    # Threads, by the paths of their posts' pages.

    def threads(self) -> dict[str, tuple[int, int]]:
        """Return the version and the number of comments of every thread as the site shows it."""
        return {row[0]: (row[1], row[2]) for row in self.database.execute("SELECT path, version, count FROM threads")}

    def thread_versions(self, paths: Collection[str] | None = None) -> dict[str, int]:
        """Return the versions of these threads, or of all, as the site shows them."""
        if paths is None or len(paths) > MAX_PATHS_IN_QUERY:
            return dict(self.database.execute("SELECT path, version FROM threads").fetchall())
        marks = ", ".join("?" * len(paths))
        rows = self.database.execute(f"SELECT path, version FROM threads WHERE path IN ({marks})", list(paths))  # noqa: S608
        return dict(rows.fetchall())

    def save_threads(self, threads: Mapping[str, tuple[int, int]]) -> None:
        """Save the version and the number of comments of threads as the site shows them now."""
        rows = [(path, *shown) for path, shown in threads.items()]
        with self.transaction() as database:
            database.executemany("INSERT OR REPLACE INTO threads VALUES (?, ?, ?)", rows)

    def delete_threads(self, paths: Iterable[str]) -> None:
        """Delete threads that the site does not show any more."""
        with self.transaction() as database:
            database.executemany("DELETE FROM threads WHERE path = ?", [(path,) for path in paths])

    # Templates and the pieces of lists that they make.

    def template_variables(self) -> dict[str, frozenset[str] | None]:
        """Return the names of the variables that each template may look up; None where they can't be told."""
        saved = json.loads(self.get_fact("template_variables") or "{}")
        return {template: None if names is None else frozenset(names) for template, names in saved.items()}

    def save_template_variables(self, variables: Mapping[str, frozenset[str] | None]) -> None:
        """Save which variables templates may look up."""
        saved = {template: None if names is None else sorted(names) for template, names in variables.items()}
        self.set_facts(template_variables=json.dumps(saved))

    def piece(self, name: str) -> ListPiece | None:
        """Return a piece of a list that an earlier build made."""
        row = self.database.execute("SELECT reads_full_posts, key, html FROM pieces WHERE name = ?", (name,)).fetchone()
        return ListPiece(bool(row[0]), row[1], row[2]) if row else None

    def save_pieces(self, pieces: Mapping[str, ListPiece]) -> None:
        """Save pieces of lists, by their names."""
        rows = [(name, *piece) for name, piece in pieces.items()]
        with self.transaction() as database:
            database.executemany("INSERT OR REPLACE INTO pieces VALUES (?, ?, ?, ?)", rows)

    def compiled_template(self, key: str) -> bytes | None:
        """Return a template's bytecode, if it is saved."""
        row = self.database.execute("SELECT code FROM templates WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def save_compiled_template(self, key: str, code: bytes) -> None:
        """Save a template's bytecode."""
        with self.transaction() as database:
            database.execute("INSERT OR REPLACE INTO templates VALUES (?, ?)", (key, code))


def _connect(path: Path) -> sqlite3.Connection:
    # The output lock keeps writers apart; readers may still meet one of them.
    database = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database
