"""The log that SQLite writes ahead (WAL), brought to the disk by whoever committed, after their turn to write."""

import os
from typing import Any

from sqlalchemy import Engine

from feedback_app.driver import SQLITE, as_everybody_catches_it

# It is not on every system; where it is not, the other one is.
_sync = getattr(os, "fdatasync", os.fsync)


class Wal:
    """The log of a SQLite file.

    SQLite itself waits for the disk while it still holds its lock, and all other writers with it. A connection that was
    taken over doesn't: its commits are in the log, and in order, but it is `sync` that makes them last. What somebody
    else commits and syncs meanwhile makes them last, too: they stand before it in the same file.
    """

    def __init__(self, engine: Engine) -> None:
        """For an engine's file; PostgreSQL, and what is only in memory, has none."""
        database = engine.url.database if engine.dialect.name == SQLITE else None
        self._path = f"{database}-wal" if database and not database.startswith((":", "file:")) else None
        self._dialect = engine.dialect

    def take_over(self, connection: Any) -> None:  # noqa: ANN401 - a driver's own
        """Have a connection's commits leave the waiting to `sync`; one without a log stays as it is."""
        if self._path and connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            connection.execute("PRAGMA synchronous = NORMAL").close()

    def sync(self) -> None:
        """Wait until everything that is committed is on the disk. Raises DBAPIError."""
        if self._path is None:
            return
        try:
            # The file of this moment: it goes with its last connection, and another one comes.
            file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            # No log, so nothing was left to be waited for.
            return
        try:
            _sync(file)
        except OSError as error:
            failed = self._dialect.loaded_dbapi.OperationalError(f"the disk: {error.strerror}")
            raise as_everybody_catches_it(failed, "COMMIT", self._dialect) from error
        finally:
            os.close(file)
