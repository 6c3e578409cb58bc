"""Something done while the thread at hand waits: for a disk, say, or for a server."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager


class Beside:
    """Another thread, for one task at a time; there is none before the first.

    The other thread is the one that works, and this one waits: Python runs one at a time, and who comes back from a
    wait goes on at once where nobody else is at work by then. A thread takes long to wake; here only the task waits
    for that.
    """

    def __init__(self) -> None:
        """Start nothing."""
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    @contextmanager
    def beginning(self) -> Iterator[Callable[[Callable[[], None]], None]]:
        """What a task is begun with; at the end of the `with` it is waited for. Raises what the task raises."""
        begun = list[Future[None]]()
        try:
            yield lambda task: begun.append(self._ready().submit(task))
        finally:
            # Also on the way out: what went wrong in the `with` is what is heard of then.
            wait(begun)
        for task in begun:
            task.result()

    def close(self) -> None:
        """End the thread."""
        if self._pool is not None and self._process == os.getpid():
            self._pool.shutdown()
        self._pool = None

    def _ready(self) -> ThreadPoolExecutor:
        if self._pool is None or self._process != os.getpid():
            # A fork has its parent's pool, and none of its threads.
            self._pool, self._process = ThreadPoolExecutor(1), os.getpid()
        return self._pool
