"""Hearing of threads that changed a few milliseconds after the commit, for next to nothing while nothing happens.

SQLite has a number that grows with every other connection's commit, which costs microseconds to read; PostgreSQL tells
whoever listens (the table's own trigger does, so that it is told of whatever process on whatever machine changed it),
and which thread it was. Where nobody says that, the threads' versions do, if it was a thread at all.
"""

import sqlite3
import threading
import time
from typing import Any

import psycopg

from feedback_app.comments.threads.registry import numbered_versions
from feedback_app.db.base import SQLITE
from feedback_app.db.store import Store

LOOK_SECONDS = 0.005
# While somebody else writes all the time, a mailing say, threads are looked at this often.
PAUSE_SECONDS = 0.02
# Whatever was heard: a message can be lost with its connection.
SURE_SECONDS = 2.0
# And somebody else can have written to the site: then all that it shows is compared.
WHOLE_SECONDS = 60.0


class Follower:
    """One process' ear at the store. Not for several threads at once."""

    def __init__(self, store: Store) -> None:
        """Nothing has been heard yet: the first look says that there may be news."""
        self._store = store
        self._ear: Any = None
        self._heard: object = None
        # What threads were like when they were last looked at: groups of them, and each.
        self._versions: dict[int, int] | None = None
        # The threads that have changed and were not asked for yet; None when nobody can say which.
        self._news: set[int] | None = None
        # Those that somebody named since.
        self._told: set[int] = set()
        self._sure_at = self._whole_at = 0.0

    def wait(self, seconds: float, other: threading.Event) -> bool:
        """Wait until a thread may have changed, the other thing happened, or so long; returns whether one may have.

        Raises DBAPIError when the store does not answer.
        """
        until = time.monotonic() + seconds
        if time.monotonic() >= self._whole_at:
            self._whole_at = time.monotonic() + WHOLE_SECONDS
            self._news = None
            return True
        if time.monotonic() >= self._sure_at and self._was_a_thread():
            return True
        while not other.is_set():
            left = until - time.monotonic()
            if self._something_happened(max(0.0, left), other) and self._was_a_thread():
                return True
            if left <= 0:
                break
        return False

    def news(self) -> set[int] | None:
        """The numbers of the threads that have changed since this was last asked; None: look at all of them."""
        news, self._news = self._news, set()
        return news

    def close(self) -> None:
        """Stop listening."""
        ear, self._ear = self._ear, None
        # Another ear counts from elsewhere: whoever has it looks first.
        self._heard = None
        if ear is not None:
            ear.close()

    def _something_happened(self, seconds: float, other: threading.Event) -> bool:
        try:
            if self._store.dialect == SQLITE:
                return self._number_grew(min(seconds, LOOK_SECONDS), other)
            return self._was_told(seconds)
        except (sqlite3.Error, psycopg.Error):
            # Asking for the sum says what is wrong with the store, or that only this ear has gone.
            self.close()
            return True

    def _number_grew(self, seconds: float, other: threading.Event) -> bool:
        if self._ear is None:
            self._ear = self._store.engine.raw_connection()
        number = self._ear.driver_connection.execute("PRAGMA data_version").fetchone()[0]
        if number == self._heard:
            other.wait(seconds)
            return False
        if self._heard is not None:
            other.wait(min(seconds, self._pause()))
        self._heard = number
        return True

    def _was_told(self, seconds: float) -> bool:
        if self._ear is None:
            # A connection of its own: one that goes back to the pool would go on listening.
            pooled = self._store.engine.raw_connection()
            self._ear = pooled.driver_connection
            pooled.detach()
            self._ear.autocommit = True
            self._ear.execute("LISTEN threads")
            return True
        told = [each.payload for each in self._ear.notifies(timeout=seconds, stop_after=1)]
        # A word without a number is about any of them.
        self._told = set() if "" in told else self._told | {int(number) for number in told}
        return bool(told)

    def _pause(self) -> float:
        """How long ago the last look at the threads has to be."""
        return max(0.0, self._looked_at + PAUSE_SECONDS - time.monotonic())

    _looked_at = 0.0

    def _was_a_thread(self) -> bool:
        if self._told:
            if self._news is not None:
                self._news |= self._told
            self._told = set()
            return True
        self._looked_at = time.monotonic()
        self._sure_at = self._looked_at + SURE_SECONDS
        before = self._versions
        with self._store.reading() as session:
            now = numbered_versions(session)
        if before is None:
            self._versions = now
            self._news = None
            return True
        changed = {number for number, version in now.items() if before.get(number) != version}
        before |= now
        if self._news is not None:
            self._news |= changed
        return bool(changed)
