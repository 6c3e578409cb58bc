"""The log that SQLite writes ahead (WAL), brought to the disk by whoever committed, after their turn to write."""

import os
from pathlib import Path
from typing import Any

# It is not on every system; where it is not, the other one is.
_sync = getattr(os, "fdatasync", os.fsync)


class Wal:
    """The log of a connection to a SQLite file.

    SQLite itself waits for the disk while it still holds its lock, and all other writers with it. A connection that has
    one of these doesn't: its commits are in the log, and in order, but it is `sync` that makes them last. What somebody
    else commits and syncs meanwhile makes them last, too: they stand before it in the same file.

    The log stays the same file as long as the connection is open: it goes with a database's last one.
    """

    def __init__(self, path: Path) -> None:
        """Hold it open: what goes wrong with a file is told to whoever had it open by then. Raises OSError."""
        self._file = os.open(path, os.O_RDONLY)

    def sync(self) -> None:
        """Wait until everything that is committed is on the disk. Raises OSError: then nobody can rely on it."""
        _sync(self._file)

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def take_over(connection: Any) -> Wal | None:  # noqa: ANN401 - a driver's own
    """Have a connection's commits leave the waiting to its log's `sync`.

    None where it keeps no log, or one that is not to be found: that connection still waits by itself. Raises the
    driver's errors.
    """
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        return None
    # With the first look at the database its log is there, beside the file that SQLite has found behind all links.
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    [name] = [file for _, name, file in connection.execute("PRAGMA database_list") if name == "main"]
    try:
        wal = Wal(Path(f"{name}-wal"))
    except OSError:
        return None
    connection.execute("PRAGMA synchronous = NORMAL").close()
    return wal
