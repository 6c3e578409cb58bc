"""The log that SQLite writes ahead (WAL), brought to the disk by whoever committed, after their turn to write."""

import os
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from feedback_app.driver import SQLITE, as_everybody_catches_it

# It is not on every system; where it is not, the other one is.
_sync = getattr(os, "fdatasync", os.fsync)


class _Log:
    """A log that a thread holds open: what goes wrong with a file is told to whoever had it open by then."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises OSError."""
        self.file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        """Close it."""
        if "file" in self.__dict__:
            os.close(self.file)


class Wal:
    """The log of a SQLite file.

    SQLite itself waits for the disk while it still holds its lock, and all other writers with it. A connection that was
    taken over doesn't: its commits are in the log, and in order, but it is `sync` that makes them last. What somebody
    else commits and syncs meanwhile makes them last, too: they stand before it in the same file.
    """

    def __init__(self, engine: Engine) -> None:
        """For an engine's database; what is not a SQLite file has none."""
        self._dialect = engine.dialect
        # Where it is, once there is a connection that leaves the waiting to `sync`.
        self._path: Path | None = None
        self._own = threading.local()

    def take_over(self, connection: Any) -> None:  # noqa: ANN401 - a driver's own
        """Have a connection's commits leave the waiting to `sync`; one whose log is not to be found stays as it is."""
        if self._dialect.name != SQLITE or connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            return
        # With the first look at the database its log is there, beside the file that SQLite has found behind all links.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        [name] = [file for _, name, file in connection.execute("PRAGMA database_list") if name == "main"]
        path = Path(f"{name}-wal")
        if name and path.is_file():
            self._path = path
            connection.execute("PRAGMA synchronous = NORMAL").close()

    def sync(self) -> None:
        """Wait until everything that is committed is on the disk.

        Raises DBAPIError: then it is committed, but nobody can rely on it.
        """
        if self._path is None:
            return
        try:
            _sync(self._log(self._path).file)
        except FileNotFoundError:
            # The last connection has been closed meanwhile, and has brought all of it to the disk before it went.
            return
        except OSError as error:
            failed = self._dialect.loaded_dbapi.OperationalError(f"the disk: {error.strerror}")
            raise as_everybody_catches_it(failed, "SYNC", self._dialect) from error

    def close(self) -> None:
        """Let go of it."""
        self._own = threading.local()

    def _log(self, path: Path) -> _Log:
        """The log of this moment: one goes with its last connection, and another one comes."""
        log: _Log | None = self._own.__dict__.get("log")
        if log is None or not os.path.samestat(os.fstat(log.file), path.stat()):
            log = self._own.log = _Log(path)
        return log
