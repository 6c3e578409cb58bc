"""Connections that a thread keeps, for what is asked and kept all the time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, PoolProxiedConnection

from feedback_app.driver import SQLITE, as_everybody_catches_it


class _Own:
    """A connection to a SQLite file that a thread keeps; it is closed with the thread."""

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
    """Connections for a question or two at a time: on SQLite each thread's own, which it keeps.

    To take one out of a pool and put it back takes longer than to ask. PostgreSQL's come from the pool all the same,
    which looks first whether the server still listens.
    """

    def __init__(self, engine: Engine) -> None:
        """For an engine's database."""
        self._engine = engine
        self._kept = threading.local()
        self._idle = WeakSet[_Own]()

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
        kept = self._kept
        # Not there for whoever asks meanwhile: that would be part of what was begun.
        own: _Own | None = kept.__dict__.pop("own", None)
        if own is not None and own.process != os.getpid():
            _OTHERS.append(own)
            own = None
        if own is None:
            pooled = self._made()
            own = _Own(pooled.dbapi_connection)
            pooled.detach()
        self._idle.discard(own)
        try:
            yield own.connection
        finally:
            if self._is_good(own) and kept is self._kept and "own" not in kept.__dict__:
                # Neither after a close, nor where another one was put back meanwhile.
                kept.own = own
                self._idle.add(own)

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
        self._kept = threading.local()
        for own in list(self._idle):
            if own.process == os.getpid():
                own.connection.close()
        self._idle.clear()

    def _made(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise as_everybody_catches_it(error, "CONNECT", self._engine.dialect) from error
