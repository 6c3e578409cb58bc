"""Noticing that threads have changed, a few milliseconds after the commit."""

import time

from sqlalchemy import func, select

from feedback_app.comments.models import Thread
from feedback_app.db.store import Store
from feedback_app.db.store_watch import StoreWatch

# Another program can have written to the site: then everything that it shows is compared with the store.
COMPARE_ALL_SECONDS = 60.0


class ThreadListener:
    """Listens for changed threads. Only `interrupt` may be called from another thread of the process."""

    def __init__(self, store: Store) -> None:
        """Listen to a store. The first wait reports that any thread may have changed."""
        self._store = store
        self._watch = StoreWatch(store)
        # The number of threads and the sum of their versions, which grows with every change; and each version.
        self._total: tuple[int, int] | None = None
        self._versions: dict[int, int] = {}
        self._changed: set[int] | None = None
        self._compare_all_at = 0.0

    def wait(self, seconds: float) -> bool:
        """Wait for a changed thread, or so many seconds; return whether a thread may have changed.

        It may return earlier, as StoreWatch does. Raises DBAPIError when the store does not answer.
        """
        until = time.monotonic() + seconds
        if time.monotonic() >= self._compare_all_at:
            self._compare_all_at = time.monotonic() + COMPARE_ALL_SECONDS
            self._changed = None
            return True
        while self._watch.wait(max(0.0, until - time.monotonic())):
            if self._find_changes():
                return True
        return False

    def take_changed(self) -> set[int] | None:
        """Return the numbers of the threads that have changed since the last call; None where it can be any."""
        changed, self._changed = self._changed, set()
        return changed

    def interrupt(self) -> None:
        """End the wait that is going on, or the next one."""
        self._watch.interrupt()

    def close(self) -> None:
        """Stop listening."""
        self._watch.close()

    def _find_changes(self) -> bool:
        # Of ten thousand threads, the sum is known in a tenth of the time that all their versions take.
        with self._store.reading() as session:
            row = session.execute(select(func.count(), func.coalesce(func.sum(Thread.version), 0))).one()
            total = row[0], row[1]
            if total == self._total:
                return False
            versions = dict(session.execute(select(Thread.id, Thread.version)).all())
        if self._total is None:
            self._changed = None
        elif self._changed is not None:
            self._changed |= {number for number, version in versions.items() if self._versions.get(number) != version}
        self._total, self._versions = total, versions
        return True
