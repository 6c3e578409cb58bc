"""The log that SQLite writes ahead (WAL), brought to the disk by whoever committed, after their turn to write."""

import os
import sqlite3
from dataclasses import dataclass
from typing import Any

# It is not on every system; where it is not, the other one is.
_sync = getattr(os, "fdatasync", os.fsync)
# So long, in milliseconds, a failed log may wait for who reads it: nobody can write meanwhile.
_PATIENCE = 200


@dataclass(slots=True)
class Trust:
    """Whether a store's log can be relied on, as far as this process was told: `failure` is what it was told last."""

    failure: OSError | None = None


class Wal:
    """The log of a connection to a SQLite file.

    SQLite itself waits for the disk while it still holds its lock, and all other writers with it. A connection that has
    one of these doesn't: its commits are in the log, and in order, and others see them, but it is `sync` that makes
    them last. What somebody else commits and syncs meanwhile makes them last, too: they stand before it in the file.

    The log stays the same file as long as the connection is open: it goes with a database's last one.
    """

    def __init__(self, connection: sqlite3.Connection, path: str, trust: Trust) -> None:
        """Hold it open. Raises OSError."""
        self._connection = connection
        self._trust = trust
        self._file = os.open(path, os.O_RDONLY)

    def sync(self) -> None:
        """Wait until everything that is committed is on the disk. Raises OSError: then nobody can rely on it."""
        try:
            _sync(self._file)
        except OSError as error:
            self._trust.failure = error
        if self._trust.failure is not None:
            self._start_again(self._trust.failure)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def _start_again(self, failure: OSError) -> None:
        """Have all of it brought into the database, and an empty log.

        Of a failure a file's holder is told once, and what did not come to the disk then stays a hole in the log: with
        the power all would go that stands behind it, however often that was synced. SQLite is told once, too.
        """
        [usual] = self._connection.execute("PRAGMA busy_timeout").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}").close()
        try:
            if not any(self._is_emptied() for _ in range(2)):
                raise failure
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {usual}").close()
        self._trust.failure = None

    def _is_emptied(self) -> bool:
        try:
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            _sync(self._file)
        except (OSError, sqlite3.Error):
            return False
        return not busy


def take_over(connection: Any, trust: Trust) -> Wal | None:  # noqa: ANN401 - a driver's own
    """Have a SQLite connection's commits leave the waiting to its log's `sync`.

    None where it keeps no log, or one that is not to be found: that connection still waits by itself. Raises the
    driver's errors.
    """
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        return None
    # With the first look at the database its log is there, beside the file that SQLite has found behind all links.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    # As bytes: a name need not be UTF-8.
    query = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
    [name] = connection.execute(query).fetchone()
    connection.execute("PRAGMA synchronous = NORMAL").close()
    try:
        return Wal(connection, f"{os.fsdecode(name)}-wal", trust)
    except OSError:
        connection.execute("PRAGMA synchronous = FULL").close()
        return None
