"""Full-text search without a server: Pagefind's index, updated in the background.

Indexing ten thousand pages takes seconds, so no build waits for it: the index may lag behind the site a little.
"""

import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

FOLDER = "pagefind"
# How long the site has to be left alone before it is indexed.
QUIET_SECONDS = 2
TIMEOUT_SECONDS = 600

log = logging.getLogger(__name__)


class IndexFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The index can't be made; one line that says why."""


def make_index(output: Path) -> None:
    """Index the posts of the built site. Raises IndexFailed; the old index stays then."""
    # At low priority: serving pages and sending mail come first.
    program = ["nice", "-n", "10", sys.executable, "-m", "pagefind"]
    new, old = (output.with_name(f".{output.name}-index-{which}") for which in ("new", "old"))
    command = [*program, "--site", str(output), "--output-path", str(new.absolute()), "--quiet"]
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"the search index was not made: {type(error).__name__}"
        raise IndexFailed(message) from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        message = f"the search index was not made: {lines[-1]}"
        raise IndexFailed(message)
    # Moved, not copied: a reader who searches meanwhile has one whole index.
    shutil.rmtree(old, ignore_errors=True)
    if (output / FOLDER).exists():
        (output / FOLDER).replace(old)
    new.replace(output / FOLDER)
    shutil.rmtree(old, ignore_errors=True)


class Indexer:
    """Remakes the index in a thread of its own, once the site has been left alone for a moment."""

    def __init__(self, output: Path, stop: threading.Event) -> None:
        """Start the thread; it ends when `stop` is set."""
        self._output = output
        self._stop = stop
        self._changed = threading.Event()
        threading.Thread(target=self._work, daemon=True, name="indexer").start()

    def wake(self) -> None:
        """Say that the site has changed."""
        self._changed.set()

    def _work(self) -> None:
        while not self._stop.is_set():
            if not self._changed.wait(1):
                continue
            while self._changed.is_set() and not self._stop.is_set():
                self._changed.clear()
                self._stop.wait(QUIET_SECONDS)
            if self._stop.is_set():
                return
            try:
                make_index(self._output)
            except (IndexFailed, OSError) as error:
                log.warning("The search index is as it was; readers have the archive. %s", error)
