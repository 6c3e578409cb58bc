"""What changes in the shop's files while somebody watches them."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from feedback_app.config import Settings
from feedback_app.file_events import FileEvent, FileEvents
from feedback_app.publishing.builder import CONFIGURATION
from feedback_app.publishing.incremental.site_key import THEME

# Whoever watches files can miss one: so long after a look at some, when nothing else has changed, all are looked at.
SURE_SECONDS = 2.0
# How often it is checked whether the folders are still there, and whether to stop.
CHECK_SECONDS = 1.0
# A program that saves a file writes to it several times: the changes are noted when none has come for the first of
# these intervals, or after the second.
QUIET_SECONDS = 0.01
LONGEST_SECONDS = 0.1


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
        if self._sure is not None and self._sure <= time.monotonic():
            self.note_all_again()

    def note_all_again(self) -> None:
        """Note that it can be any file, as far as nothing else is noted: a build that finds nothing says nothing."""
        with self._lock:
            if not self.noted.is_set():
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
    """Note what changes in the content, the theme and the configuration, until `stop` is set."""
    while not stop.is_set():
        places = _places(settings)
        try:
            events = FileEvents(*_folders(places))
        except OSError:
            # No event will come: everything is looked at now and then.
            changes.note_all_again()
            stop.wait(SURE_SECONDS)
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
