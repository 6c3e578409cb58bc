"""The leak guard inside a build: whoever reads a file asks here first."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.publishing.content.address_leaks import Leak, find_leaks, published_files
from feedback_app.publishing.files.scan import Stamp, stamp_of

SHOP = "UNDISCLOSED_SHOP"


class LeakGuard:
    """What a build's guard works with, among Pelican's settings; the same for every build, so it says nothing."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """The shop's settings, and its store."""
        self.settings = settings
        self.store = store
        # Pages and pictures that were found harmless, as they were then.
        self._harmless: dict[Path, Stamp] = {}

    def __str__(self) -> str:
        """Nothing that a build could depend on."""
        return "the shop"

    def refuse_leaks(self, files: Iterable[Path]) -> None:
        """Refuse addresses in these files. Raises Leak, with a line for each."""
        with self.store.reading() as session:
            leaks = find_leaks(files, self.settings, session)
        if leaks:
            raise Leak("\n".join(leaks))

    def refuse_other_leaks(self) -> list[Path]:
        """Look at pages and pictures that have changed since they were looked at; returns which. Raises Leak."""
        files = {path: stamp_of(path.stat()) for path in published_files(self.settings.content, "pages", "images")}
        changed = [path for path, stamp in files.items() if self._harmless.get(path) != stamp]
        if changed:
            self.refuse_leaks(changed)
            self._harmless = files
        return changed


def desk_of(values: Mapping[str, Any]) -> LeakGuard:
    """The desk among Pelican's settings."""
    desk: LeakGuard = values[SHOP]
    return desk


def refuse_leaks(files: Iterable[Path], values: Mapping[str, Any]) -> None:
    """Refuse addresses in these files. Raises Leak."""
    desk_of(values).refuse_leaks(files)


def drop_connections(values: Mapping[str, Any]) -> None:
    """In a child: the parent's connections to the store are not its own."""
    desk_of(values).store.engine.dispose(close=False)
