"""Waiting until another process may have written to the store.

SQLite: the kernel tells of every change to the database's file or its write-ahead log. PostgreSQL: triggers on the
table of threads tell by NOTIFY. An event can be lost, and some systems and file systems send none, so the store is also
asked once a second.
"""

import select
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from feedback_app.db.base import SQLITE
from feedback_app.db.store import Store
from feedback_app.file_events import FileEvents

# How often the store is asked when no event comes.
CHECK_SECONDS = 1.0
# The shortest time between two reported changes: during a mailing, another process writes all the time.
PAUSE_SECONDS = 0.02
# SQLite makes a commit visible only after its log is written and synced, and no event tells of that last step. So the
# store is asked again after an event: after the first of these intervals, then four times as long, up to the second.
FIRST_RETRY_SECONDS = 0.005
LAST_RETRY_SECONDS = 0.08
# The channel of PostgreSQL's triggers, see the migrations.
CHANNEL = "threads"


class StoreWatch:
    """Waits for changes of the store. Only `interrupt` may be called from another thread."""

    def __init__(self, store: Store) -> None:
        """Watch a store. The first wait reports a change, because there is nothing to compare with yet."""
        self._engine = store.engine
        database = store.engine.url.database if store.dialect == SQLITE else None
        # SQLite keeps its log beside the file itself, not beside a symbolic link to it.
        self._file = Path(database).resolve() if database else None
        self._events: FileEvents | None = None
        if self._file:
            with suppress(OSError):
                self._events = FileEvents(self._file.parent)
        # Sockets, not a pipe's descriptors: what is sent after `close` must not reach another file of the same number.
        self._interrupted, self._interrupt = socket.socketpair()
        self._interrupted.setblocking(False)
        self._interrupt.setblocking(False)
        # The driver's connection, because PostgreSQL's notifications come through it. On SQLite it stays open, because
        # `data_version` can be compared with earlier values of the same connection only.
        self._connection: Any = None
        self._seen: tuple[int, int, int] | None = None
        # The next interval of the questions that follow an event.
        self._is_retrying = False
        self._retry_seconds = CHECK_SECONDS
        self._check_at = self._pause_until = 0.0

    def wait(self, seconds: float) -> bool:
        """Wait for a change, or so many seconds; return whether the store may have changed.

        An interruption ends the wait, too, and so does a look that finds nothing when no event has come.
        """
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            pausing = now < self._pause_until
            left = min(until, self._pause_until if pausing else self._check_at) - now
            readable = self._poll(max(0.0, left), only_interruption=pausing)
            if self._interrupted.fileno() in readable:
                self._interrupted.recv(4096)
                return False
            if readable and self._read_events():
                self._retry_seconds = FIRST_RETRY_SECONDS
                self._check_at = 0.0
            if not pausing and time.monotonic() >= self._check_at:
                if self._ask():
                    self._pause_until = time.monotonic() + PAUSE_SECONDS
                    return True
                if not self._is_retrying:
                    return False
            if time.monotonic() >= until:
                return False

    def mark_seen(self) -> None:
        """Take everything that is committed by now as seen: the next wait reports what comes later."""
        self._ask()

    def interrupt(self) -> None:
        """End the wait that is going on, or the next one; nothing after `close`."""
        with suppress(OSError):
            self._interrupt.send(b"\0")

    def close(self) -> None:
        """Stop watching."""
        self._disconnect()
        if self._events:
            self._events.close()
        self._interrupted.close()
        self._interrupt.close()

    def _poll(self, seconds: float, *, only_interruption: bool) -> set[int]:
        poll = select.poll()
        poll.register(self._interrupted, select.POLLIN)
        source = self._events if self._file else self._connection
        if source is not None and not only_interruption:
            poll.register(source, select.POLLIN)
        # Rounded up: a wait that ends too early would be a loop.
        return {descriptor for descriptor, _ in poll.poll(int(seconds * 1000) + 1 if seconds else 0)}

    def _read_events(self) -> bool:
        """Read the events that came; return whether one is about the store."""
        if self._file is None or self._events is None:
            return True
        events = self._events.read()
        if lost := any(event.is_loss for event in events):
            self._events.close()
            self._events = None
        names = {self._file.name, f"{self._file.name}-wal"}
        return lost or any(event.path.name in names for event in events)

    def _ask(self) -> bool:
        """Ask the store whether it has changed since it was last asked."""
        now = time.monotonic()
        self._is_retrying = bool(self._file) and self._retry_seconds <= LAST_RETRY_SECONDS
        self._check_at = now + (self._retry_seconds if self._is_retrying else CHECK_SECONDS)
        self._pause_until = now + FIRST_RETRY_SECONDS
        self._retry_seconds *= 4
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
        connection = self._connection or self._connect()
        # Outside of a transaction, which would keep SQLite from emptying its log.
        [version] = connection.execute("PRAGMA data_version").fetchone()
        before, self._seen = self._seen, (*identity, version)
        return before != self._seen

    def _read_notifications(self) -> None:
        if self._connection is None:
            connection = self._connect()
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        for _ in self._connection.notifies(timeout=0):
            pass

    def _connect(self) -> Any:  # noqa: ANN401 - a driver's own
        pooled = self._engine.raw_connection()
        self._connection = pooled.driver_connection
        # Not to return to the pool: its next user would go on listening.
        pooled.detach()
        return self._connection

    def _disconnect(self) -> None:
        self._seen = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
