"""Something done while something else waits: for a disk, say, or for a server."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Beside:
    """Another thread, for one task at a time; there is none before the first."""

    def __init__(self) -> None:
        """Start nothing."""
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, task: Callable[[], None], meanwhile: Callable[[], None]) -> None:
        """Do a task that waits for something, and something else meanwhile; both are done when this returns.

        Raises what the task raises, before what `meanwhile` raises.
        """
        if self._pool is None or self._process != os.getpid():
            # A fork has its parent's pool, and none of its threads.
            self._pool, self._process = ThreadPoolExecutor(1), os.getpid()
        begun = threading.Semaphore(0)

        def begin() -> None:
            begun.release()
            task()

        doing = self._pool.submit(begin)
        # Python runs one thread at a time, and changes over when one waits: this one waits for the other to begin.
        begun.acquire()
        try:
            meanwhile()
        finally:
            doing.result()

    def close(self) -> None:
        """End the thread."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown()
        self._pool = None
