"""What changes in the shop's files while somebody watches them."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import watch

from feedback_app.config import Settings
from feedback_app.publishing.builder import CONFIGURATION
from feedback_app.publishing.incremental.site_key import THEME

# Whoever watches files can miss one: so long after a look at some, when nothing else has changed, all are looked at.
SURE_SECONDS = 2.0
# How often watchfiles looks at what the kernel has told it: a tenth of a percent of a processor at this pace.
WATCH_MILLISECONDS = 100


class Changes:
    """Which files may have changed since they were looked at."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """Nobody has looked yet. `wake` is called when there is something to look at."""
        self._wake = wake
        self.noted = threading.Event()
        # Whether nothing was noted but that it is time to look at all again.
        self.again = False
        self._named: set[Path] | None = None
        self._sure: float | None = None
        self._lock = threading.Lock()

    def note(self, named: Iterable[Path] | None = None) -> None:
        """These files have changed, or, without names, who knows which."""
        with self._lock:
            before = self._named if self.noted.is_set() else set()
            self._named = None if named is None or before is None else before | set(named)
            self.again = False
            self.noted.set()
        self._wake()

    def note_in_time(self) -> None:
        """Note that it can be any file, where some were looked at and nothing has happened for a while."""
        with self._lock:
            if self._sure is not None and self._sure <= time.monotonic() and not self.noted.is_set():
                self._named, self.again = None, True
                self.noted.set()

    def take(self) -> frozenset[Path] | None:
        """The files to look at now; None for all of them."""
        with self._lock:
            named = self._named if self.noted.is_set() else None
            self.noted.clear()
            self.again = False
            self._sure = None if named is None else time.monotonic() + SURE_SECONDS
            return None if named is None else frozenset(named)


def watch_files(settings: Settings, changes: Changes, stop: threading.Event) -> None:
    """Tell about changes, also when a folder is taken away and comes back."""
    while not stop.is_set():
        places = [path for path in (settings.content, THEME, CONFIGURATION) if path.exists()]
        if not places:
            stop.wait(1)
            continue
        try:
            # The first word, or that there is none, says that somebody watches from now on: it comes soon.
            unseen = True
            for found in watch(
                *places,
                stop_event=stop,
                debounce=100,
                step=WATCH_MILLISECONDS,
                rust_timeout=1000,
                yield_on_timeout=True,
            ):
                # What changed before anybody watched is built too.
                if unseen:
                    changes.note()
                elif found:
                    changes.note(Path(path).resolve() for _, path in found)
                unseen = False
                if [path for path in (settings.content, THEME, CONFIGURATION) if path.exists()] != places:
                    break
        except (OSError, RuntimeError):
            stop.wait(1)
