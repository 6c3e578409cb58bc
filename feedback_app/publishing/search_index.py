"""Full text search without a server: Pagefind's index, brought up to date in the background, beside the pages.

It takes seconds where there are ten thousand pages, so no build waits for it: it may lag behind the site a little.
"""

import logging
import shutil
import subprocess
import sys
import threading
from pathlib import Path

FOLDER = "pagefind"
QUIET_SECONDS = 2
MOST_SECONDS = 600

log = logging.getLogger(__name__)


class NoIndex(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The index can't be made; one line that says why."""


def make_index(output: Path) -> None:
    """Index the built site; only its posts are looked into. Raises NoIndex, and then the old index is left."""
    # Politely: whoever reads the site or sends mail comes first.
    politely = ["nice", "-n", "10", sys.executable, "-m", "pagefind"]
    new, old = (output.with_name(f".{output.name}-index-{which}") for which in ("new", "old"))
    command = [*politely, "--site", str(output), "--output-path", str(new.absolute()), "--quiet"]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=MOST_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"the search index was not made: {type(error).__name__}"
        raise NoIndex(message) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        message = f"the search index was not made: {said[-1]}"
        raise NoIndex(message)
    # Whole or not at all: a reader who searches meanwhile has the one or the other.
    shutil.rmtree(old, ignore_errors=True)
    if (output / FOLDER).exists():
        (output / FOLDER).replace(old)
    new.replace(output / FOLDER)
    shutil.rmtree(old, ignore_errors=True)


class Indexer:
    """Makes the index anew, in a thread of its own, once the site has been left alone for a moment."""

    def __init__(self, output: Path, stop: threading.Event) -> None:
        """Start waiting; ends with `stop`."""
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
            except (NoIndex, OSError) as error:
                log.warning("The search index is as it was; readers have the archive. %s", error)
