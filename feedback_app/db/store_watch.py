"""Waiting until another process may have written to the store.

SQLite: the kernel tells of every change to the database's file or its write-ahead log (inotify(7), on Linux).
PostgreSQL: triggers on the table of threads tell by NOTIFY. An event can be lost, and some file systems send none, so
the store is also asked once a second.
"""

import ctypes
import os
import select
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from feedback_app.db.base import SQLITE
from feedback_app.db.store import Store

# How often the store is asked when no event comes.
CHECK_SECONDS = 1.0
# The shortest time between two reported changes: during a mailing, another process writes all the time.
PAUSE_SECONDS = 0.02
# SQLite makes a commit visible only after its log is written and synced, and no event tells of that last step: after an
# event the store is asked again at doubling intervals, from the first of these to the second.
FIRST_RETRY_SECONDS = 0.005
LAST_RETRY_SECONDS = 0.08
# The channel of PostgreSQL's triggers, see the migrations.
CHANNEL = "threads"
# IN_MODIFY, IN_MOVED_TO, IN_CREATE and IN_DELETE of <sys/inotify.h>.
_EVENTS = 0x2 | 0x80 | 0x100 | 0x200
# IN_IGNORED: the folder is gone, and its watch with it.
_IGNORED = 0x8000
# An event's watch, mask and cookie, and the length of the name that follows.
_EVENT = struct.Struct("iIII")
_BUFFER = 65536


class StoreWatch:
    """Waits for changes of the store. Only `interrupt` may be called from another thread."""

    def __init__(self, store: Store) -> None:
        """Watch a store. The first wait reports a change, because there is nothing to compare with yet."""
        self._engine = store.engine
        database = store.engine.url.database if store.dialect == SQLITE else None
        # SQLite keeps its log beside the file itself, not beside a symbolic link to it.
        self._file = Path(database).resolve() if database else None
        self._inotify = _watch_folder(self._file.parent) if self._file else None
        self._interrupted, self._interrupt = os.pipe()
        os.set_blocking(self._interrupted, False)
        os.set_blocking(self._interrupt, False)
        # SQLite: stays open, because only one connection's own values of `data_version` can be compared.
        self._connection: Connection | None = None
        self._seen: tuple[int, int, int] | None = None
        # PostgreSQL: the driver's connection that listens.
        self._listening: Any = None
        # The next interval of the questions that follow an event.
        self._retry_seconds = CHECK_SECONDS
        self._check_at = self._pause_until = 0.0

    def wait(self, seconds: float) -> bool:
        """Wait for a change, an interruption, or so many seconds; return whether the store may have changed.

        Raises DBAPIError when the store does not answer.
        """
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            pausing = now < self._pause_until
            left = min(until, self._pause_until if pausing else self._check_at) - now
            readable = self._poll(max(0.0, left), only_interruption=pausing)
            if self._interrupted in readable:
                os.read(self._interrupted, _BUFFER)
                return False
            if readable and self._read_events():
                self._retry_seconds = FIRST_RETRY_SECONDS
                self._check_at = 0.0
            if not pausing and time.monotonic() >= self._check_at and self._ask():
                self._pause_until = time.monotonic() + PAUSE_SECONDS
                return True
            if time.monotonic() >= until:
                return False

    def interrupt(self) -> None:
        """End the wait that is going on, or the next one."""
        with suppress(BlockingIOError):
            os.write(self._interrupt, b"\0")

    def close(self) -> None:
        """Stop watching."""
        self._disconnect()
        for descriptor in (self._inotify, self._interrupted, self._interrupt):
            if descriptor is not None:
                os.close(descriptor)

    def _poll(self, seconds: float, *, only_interruption: bool) -> set[int]:
        poll = select.poll()
        poll.register(self._interrupted, select.POLLIN)
        source = self._inotify if self._file else self._listening and self._listening.fileno()
        if source is not None and not only_interruption:
            poll.register(source, select.POLLIN)
        # Rounded up: a wait that ends too early would be a loop.
        return {descriptor for descriptor, _ in poll.poll(int(seconds * 1000) + 1 if seconds else 0)}

    def _read_events(self) -> bool:
        """Read the events that came; return whether one is about the store."""
        if self._file is None or self._inotify is None:
            return True
        names = {self._file.name, f"{self._file.name}-wal"}
        events = list(_events(os.read(self._inotify, _BUFFER)))
        if any(mask & _IGNORED for mask, _ in events):
            os.close(self._inotify)
            self._inotify = None
        # An event without a name is about the folder, or says that events were lost.
        return any(not name or name in names for _, name in events)

    def _ask(self) -> bool:
        """Ask the store whether it has changed since it was last asked."""
        now = time.monotonic()
        retry = self._file and self._retry_seconds <= LAST_RETRY_SECONDS
        self._check_at = now + (self._retry_seconds if retry else CHECK_SECONDS)
        self._pause_until = now + FIRST_RETRY_SECONDS
        self._retry_seconds *= 2
        try:
            if self._file:
                return self._has_other_version(self._file)
            self._read_notifications()
        except (DBAPIError, self._engine.dialect.loaded_dbapi.Error):
            # Either this connection alone was lost, or the caller's own question will say what is wrong.
            self._disconnect()
            self._check_at = 0.0
        return True

    def _has_other_version(self, file: Path) -> bool:
        try:
            status = file.stat()
        except FileNotFoundError:
            # To connect would make an empty file where a restore is about to put the store.
            return False
        identity = status.st_dev, status.st_ino
        if self._seen and self._seen[:2] != identity:
            # Another file has taken its place: no connection that is open leads to it.
            self._disconnect()
            self._engine.dispose()
        if self._connection is None:
            self._connection = self._engine.connect()
        version = self._connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        # Not in a transaction, which would keep SQLite from emptying its log.
        self._connection.rollback()
        before, self._seen = self._seen, (*identity, version)
        return before != self._seen

    def _read_notifications(self) -> None:
        if self._listening is None:
            pooled = self._engine.raw_connection()
            # Not the pool's any more: whoever got it next would go on listening.
            self._listening = pooled.driver_connection
            pooled.detach()
            self._listening.autocommit = True
            self._listening.execute(f"LISTEN {CHANNEL}")
        for _ in self._listening.notifies(timeout=0):
            pass

    def _disconnect(self) -> None:
        self._seen = None
        for connection in (self._connection, self._listening):
            if connection is not None:
                connection.close()
        self._connection = self._listening = None


def _watch_folder(folder: Path) -> int | None:
    """Return a descriptor to read a folder's events from; None where the system has no inotify(7)."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "inotify_init1"):
        return None
    descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), _EVENTS) < 0:
        os.close(descriptor)
        return None
    return descriptor


def _events(data: bytes) -> Iterator[tuple[int, str]]:
    """The mask and the file name of each event."""
    while data:
        _, mask, _, length = _EVENT.unpack_from(data)
        end = _EVENT.size + length
        yield mask, os.fsdecode(data[_EVENT.size : end].rstrip(b"\0"))
        data = data[end:]
