"""Connections that are kept, for what is asked and written all the time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection

from feedback_app.driver import SQLITE, as_everybody_catches_it


class _Own:
    """A connection to a SQLite file that is kept."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a driver's own
        """Take it over, for this process."""
        self.connection = connection
        self.process = os.getpid()

    def __del__(self) -> None:
        """Close it."""
        if self.process == os.getpid():
            self.connection.close()


# What a fork has of its parent's: never used, and never closed, which would end what the parent does there.
_OTHERS: list[_Own] = []


class OwnConnections:
    """Connections for a question or two at a time: on SQLite they are kept, as many as were used at once.

    To take one out of SQLAlchemy's pool and put it back takes longer than to ask. They belong to no thread: one that
    ended would close its own while Python takes it apart, and a server's whole process would end with it. PostgreSQL's
    come from the pool all the same, which looks first whether the server still listens.
    """

    def __init__(self, engine: Engine) -> None:
        """For an engine's database."""
        self._engine = engine
        self._idle: list[_Own] = []

    @contextmanager
    def taken(self) -> Iterator[Any]:
        """A driver's connection; what was begun and not committed is rolled back. Raises DBAPIError."""
        if self._engine.dialect.name != SQLITE:
            pooled = self._made()
            try:
                yield pooled.driver_connection
            finally:
                pooled.close()
            return
        idle = self._idle
        # Not there for whoever asks meanwhile: that would be part of what was begun.
        own = self._kept(idle) or self._new()
        try:
            yield own.connection
        finally:
            # Not after a close.
            if self._is_good(own) and idle is self._idle:
                idle.append(own)

    def _kept(self, idle: list[_Own]) -> _Own | None:
        """The one that was used last: it knows most. None where none of this process is idle."""
        while True:
            try:
                own = idle.pop()
            except IndexError:
                return None
            if own.process == os.getpid():
                return own
            _OTHERS.append(own)

    def _new(self) -> _Own:
        pooled = self._made()
        own = _Own(pooled.dbapi_connection)
        pooled.detach()
        return own

    def _is_good(self, own: _Own) -> bool:
        """End what was begun and not committed. Returns whether that could be done."""
        try:
            if own.connection.in_transaction:
                own.connection.rollback()
        except self._engine.dialect.loaded_dbapi.Error:
            return False
        return True

    def close(self) -> None:
        """Close those that nobody uses just now; the others are closed by who uses them."""
        idle, self._idle = self._idle, []
        while own := self._kept(idle):
            own.connection.close()

    def _made(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise as_everybody_catches_it(error, "CONNECT", self._engine.dialect) from error
