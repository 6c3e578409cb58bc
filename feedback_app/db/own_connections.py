"""Connections that are kept, for what is asked and written all the time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Dialect, Engine, PoolProxiedConnection

from feedback_app.db.base import SQLITE
from feedback_app.db.prepared import as_everybody_catches_it
from feedback_app.db.wal import Trust, Wal, take_over


class Own:
    """A driver's connection, while somebody has it to themselves."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's own
        """The connection: `connection`."""
        self.connection = connection

    def undo(self) -> None:
        """Roll back what was begun and not committed, where the pool doesn't."""

    def sync(self) -> None:
        """Wait until what was committed is on the disk, where the commit didn't.

        Raises DBAPIError: then it is committed, but nobody can rely on it.
        """


class _Kept(Own):
    """A connection to a SQLite file that is kept, with its log."""

    def __init__(self, connection: Any, dialect: Dialect, trust: Trust) -> None:  # noqa: ANN401 - a driver's own
        """Take it over, for this process. Raises the driver's errors."""
        super().__init__(connection)
        self.process = os.getpid()
        # Whether it can be used again.
        self.is_good = True
        self._dialect = dialect
        # There, should it come to nothing: it is closed then, too.
        self._wal: Wal | None = None
        self._wal = take_over(connection, trust)

    def undo(self) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.rollback()
        except self._dialect.loaded_dbapi.Error:
            self.is_good = False

    def sync(self) -> None:
        if self._wal is None:
            return
        try:
            self._wal.sync()
        except OSError as error:
            failed = self._dialect.loaded_dbapi.OperationalError(f"the disk: {error.strerror}")
            raise as_everybody_catches_it(failed, "SYNC", self._dialect) from error

    def __del__(self) -> None:
        """Close it."""
        if self.process == os.getpid():
            try:
                self.connection.close()
            finally:
                if self._wal is not None:
                    self._wal.close()


# What a fork has of its parent's: never used, and never closed, which would end what the parent does there.
_OTHERS: list[_Kept] = []


class OwnConnections:
    """Connections for a question or two at a time: on SQLite they are kept, as many as were used at once.

    To take one out of SQLAlchemy's pool and put it back takes longer than to ask. They belong to no thread: one that
    ended would close its own while Python takes it apart, and a server's whole process would end with it. PostgreSQL's
    come from the pool all the same, which looks first whether the server still listens.
    """

    def __init__(self, engine: Engine) -> None:
        """For an engine's database."""
        self._engine = engine
        self._idle: list[_Kept] = []
        self._trust = Trust()

    @contextmanager
    def taken(self) -> Iterator[Own]:
        """A driver's connection; what was begun and not committed is rolled back. Raises DBAPIError.

        A commit lasts when the connection's `sync` has returned.
        """
        if self._engine.dialect.name != SQLITE:
            pooled = self._made()
            try:
                yield Own(pooled.driver_connection)
            finally:
                pooled.close()
            return
        idle = self._idle
        # Not there for whoever asks meanwhile: that would be part of what was begun.
        own = self._last(idle) or self._new()
        try:
            yield own
        finally:
            own.undo()
            # Not after a close.
            if own.is_good and idle is self._idle:
                idle.append(own)

    def _last(self, idle: list[_Kept]) -> _Kept | None:
        """The one that was used last: it knows most. None where none of this process is idle."""
        while True:
            try:
                own = idle.pop()
            except IndexError:
                return None
            if own.process == os.getpid():
                return own
            _OTHERS.append(own)

    def _new(self) -> _Kept:
        pooled = self._made()
        connection = pooled.dbapi_connection
        pooled.detach()
        try:
            return _Kept(connection, self._engine.dialect, self._trust)
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise as_everybody_catches_it(error, "PRAGMA", self._engine.dialect) from error

    def sync_again(self) -> None:
        """After a commit by another connection: where the disk failed before, it stands behind that.

        Raises DBAPIError, as `Own.sync`.
        """
        if self._trust.failure is not None:
            with self.taken() as own:
                own.sync()

    def close(self) -> None:
        """Close those that nobody uses just now; the others are closed by who uses them."""
        self._idle, idle = [], self._idle
        while self._last(idle):
            # Each is closed when nobody holds it any more.
            pass

    def _made(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise as_everybody_catches_it(error, "CONNECT", self._engine.dialect) from error
