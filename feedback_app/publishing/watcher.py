"""Watching the shop's files: which may have changed since they were last looked at."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from feedback_app.config import Settings
from feedback_app.file_events import FileEvent, FileEvents
from feedback_app.publishing.builder import CONFIGURATION
from feedback_app.publishing.incremental import THEME

# A watcher can miss a file. So long after a build that looked at some files only, all are looked at.
RECHECK_SECONDS = 2.0
# How often it is checked whether the folders are still there, and whether to stop.
CHECK_SECONDS = 1.0
# A program that saves a file writes to it several times: the changes are noted when none has come for the first of
# these intervals, or after the second.
QUIET_SECONDS = 0.01
LONGEST_SECONDS = 0.1


class Changes:
    """The files that may have changed since they were last looked at. For several threads at once."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """Begin without any. `wake` is called when there is something to look at."""
        self._wake = wake
        self.noted = threading.Event()
        # Whether nothing was noted but that it is time to look at all again.
        self.is_recheck = False
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
        self._wake()

    def note_recheck_if_due(self) -> None:
        """Note that any file may have changed, if it is time and nothing else is noted."""
        if self._recheck_at is not None and self._recheck_at <= time.monotonic():
            self.note_recheck()

    def note_recheck(self) -> None:
        """Note that any file may have changed, unless something else is noted already."""
        with self._lock:
            if not self.noted.is_set():
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
    """Note what changes in the content, the theme and the configuration, until `stop` is set."""
    while not stop.is_set():
        places = _places(settings)
        try:
            events = FileEvents(*_folders(places))
        except OSError:
            # No event will come: everything is looked at now and then.
            changes.note_recheck()
            stop.wait(RECHECK_SECONDS)
            continue
        # What changed before the folders were watched is built too.
        changes.note()
        while not stop.is_set() and places == _places(settings):
            if events.wait(CHECK_SECONDS):
                found = list(_related(_read_until_quiet(events), places))
                if found:
                    changes.note(event.path.resolve() for event in found)
                # Folders that came or went have to be watched, or no more.
                if any(event.is_folder or event.is_loss for event in found):
                    break
        events.close()


def _places(settings: Settings) -> list[Path]:
    return [path for path in (settings.content, THEME, CONFIGURATION) if path.exists()]


def _folders(places: Iterable[Path]) -> Iterator[Path]:
    """Yield the folders to watch: a folder with all those in it, and the one in which a single file lies."""
    for place in places:
        if place.is_dir():
            for folder, inner, _ in os.walk(place, followlinks=True):
                inner[:] = [name for name in inner if not _is_ignored(name)]
                yield Path(folder)
        else:
            yield place.parent


def _read_until_quiet(events: FileEvents) -> list[FileEvent]:
    until = time.monotonic() + LONGEST_SECONDS
    found = events.read()
    while time.monotonic() < until and events.wait(QUIET_SECONDS):
        found += events.read()
    return found


def _related(events: Iterable[FileEvent], places: Iterable[Path]) -> Iterator[FileEvent]:
    """Yield the events that are about the shop's files."""
    for event in events:
        is_inside = any(event.path.is_relative_to(place) for place in places)
        if event.is_loss or (is_inside and not _is_ignored(event.path.name)):
            yield event


def _is_ignored(name: str) -> bool:
    """Whether only an editor, Python or a version control system knows of a file."""
    return name.startswith(".") or name.endswith(("~", ".pyc")) or name == "__pycache__"
