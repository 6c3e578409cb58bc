"""Watching the shop's files: which may have changed since they were last looked at."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path

from watchfiles import watch

from feedback_app.config import Settings
from feedback_app.publishing.builder import CONFIGURATION
from feedback_app.publishing.incremental import THEME

# A watcher can miss a file. So long after a build that looked at some files only, all are looked at.
RECHECK_SECONDS = 2.0


class Changes:
    """The files that may have changed since they were last looked at. For several threads at once."""

    def __init__(self) -> None:
        """Begin without any."""
        self.noted = threading.Event()
        # Whether nothing was noted but that it is time to look at all files.
        self.is_recheck = False
        # None for any file.
        self._files: set[Path] | None = None
        self._recheck_at: float | None = None
        self._lock = threading.Lock()

    def note(self, files: Iterable[Path] | None = None) -> None:
        """Note that these files have changed, or, without files, that any may have."""
        with self._lock:
            before = self._files if self.noted.is_set() else set()
            self._files = None if files is None or before is None else before | set(files)
            self.is_recheck = False
            self.noted.set()

    def note_recheck_if_due(self) -> None:
        """Note that any file may have changed, if it is time and nothing else is noted."""
        with self._lock:
            is_due = self._recheck_at is not None and self._recheck_at <= time.monotonic()
            if is_due and not self.noted.is_set():
                self._files, self.is_recheck = None, True
                self.noted.set()

    def take(self) -> frozenset[Path] | None:
        """Return the files to look at now, None for all of them, and begin anew."""
        with self._lock:
            files = self._files if self.noted.is_set() else None
            self.noted.clear()
            self.is_recheck = False
            self._recheck_at = None if files is None else time.monotonic() + RECHECK_SECONDS
            return None if files is None else frozenset(files)


def watch_files(settings: Settings, changes: Changes, stop: threading.Event) -> None:
    """Note changes until `stop` is set, also after a folder was taken away and has come back."""
    while not stop.is_set():
        watched = [path for path in (settings.content, THEME, CONFIGURATION) if path.exists()]
        if not watched:
            stop.wait(1)
            continue
        try:
            # The first answer, with changes or without, says that the watch has begun; `rust_timeout` makes it early.
            is_first = True
            for found in watch(
                *watched, stop_event=stop, debounce=100, step=10, rust_timeout=200, yield_on_timeout=True
            ):
                if is_first:
                    # Anything may have changed before the watch began.
                    changes.note()
                elif found:
                    changes.note(Path(path).resolve() for _, path in found)
                is_first = False
                if [path for path in (settings.content, THEME, CONFIGURATION) if path.exists()] != watched:
                    break
        except (OSError, RuntimeError):
            stop.wait(1)
