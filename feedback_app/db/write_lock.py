"""Whose turn it is to write to a SQLite file."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from feedback_app.db.base import SQLITE

BUSY_MILLISECONDS = 30_000
TURN_SECONDS = 0.0002


class WriteLock:
    """Whose turn it is to write to a SQLite file, among all threads and processes of this machine.

    SQLite itself lets whoever finds it busy sleep for longer and longer, and somebody who comes later go first: under
    load some wait for half a second. Whoever waits here is next a moment after. It only puts writers in a row: it
    is still SQLite's own lock that keeps them apart, also from those who never heard of this one.
    """

    def __init__(self, engine: Engine) -> None:
        """For an engine's file; PostgreSQL, and what is only in memory, needs none."""
        database = engine.url.database if engine.dialect.name == SQLITE else None
        self._path = f"{database}-turn" if database and not database.startswith((":", "file:")) else None
        self._threads = threading.Lock()
        # This process' own, opened when it is first needed.
        self._file: int | None = None
        self._process = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have it for the length of the `with`; after half a minute without, SQLite is asked all the same."""
        if self._path is None:
            yield
            return
        until = time.monotonic() + BUSY_MILLISECONDS / 1000
        if not self._threads.acquire(timeout=BUSY_MILLISECONDS / 1000):
            yield
            return
        try:
            file = self._opened(self._path)
            try:
                while not _locked(file) and time.monotonic() < until:
                    time.sleep(TURN_SECONDS)
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Let go of the file, when nobody has the turn."""
        with self._threads:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def _opened(self, path: str) -> int:
        if self._file is not None and self._process != os.getpid():
            # A fork's lock on its parent's would be its parent's, too.
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._file, self._process = os.open(path, os.O_RDWR | os.O_CREAT, 0o600), os.getpid()
        return self._file


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
