"""The write lock of a SQLite store: its writers, threads and processes alike, stand in a queue."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from feedback_app.db.base import SQLITE

BUSY_MILLISECONDS = 30_000
RETRY_SECONDS = 0.0002


class WriteLock:
    """Lets one writer at a time begin a transaction, among all threads and processes of this machine.

    SQLite alone makes a writer that finds the database locked sleep for longer and longer, and lets later writers
    overtake it: under load some wait half a second. With this lock the next writer begins within a millisecond. It
    only forms the queue; SQLite's own lock keeps writers apart, also those that do not use this one.
    """

    def __init__(self, engine: Engine) -> None:
        """Make the lock of an engine's file; PostgreSQL and a database in memory need none."""
        database = engine.url.database if engine.dialect.name == SQLITE else None
        self._path = f"{database}-turn" if database and not database.startswith((":", "file:")) else None
        self._threads = threading.Lock()
        # Opened by each process when it first writes.
        self._file: int | None = None
        self._process = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the length of the `with`.

        After half a minute of waiting the writer goes on without it and lets SQLite decide.
        """
        if self._path is None:
            yield
            return
        deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
        if not self._threads.acquire(timeout=BUSY_MILLISECONDS / 1000):
            yield
            return
        try:
            file = self._opened(self._path)
            try:
                while not _try_lock(file) and time.monotonic() < deadline:
                    time.sleep(RETRY_SECONDS)
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Close the file as soon as no thread holds the lock."""
        with self._threads:
            if self._file is not None:
                os.close(self._file)
            self._file = None

    def _opened(self, path: str) -> int:
        if self._file is not None and self._process != os.getpid():
            # A lock on a file that was inherited by a fork would be the parent's lock, too.
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._file, self._process = os.open(path, os.O_RDWR | os.O_CREAT, 0o600), os.getpid()
        return self._file


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
