"""What is known of the site that stands in the output folder: which pages show which thread, and how fresh they are."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from feedback_app.comments.rendering import Place
from feedback_app.config import Settings
from feedback_app.publishing.bake import counted
from feedback_app.publishing.files import files_below, write_whole

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Site:
    """The site as it was last built or brought up to date.

    `pages` are the files that show something of a thread; `versions` the threads' versions that they show.
    """

    site_url: str
    site_name: str
    zone: str
    versions: dict[str, int]
    pages: dict[str, list[str]]

    @property
    def place(self) -> Place:
        """Where the blog is, for the renderer."""
        return Place(self.site_url, self.site_name, ZoneInfo(self.zone))


@contextmanager
def site_lock(settings: Settings) -> Iterator[None]:
    """One process at a time writes to the output folder."""
    settings.instance.mkdir(parents=True, exist_ok=True)
    with (settings.instance / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_site(settings: Settings) -> Site | None:
    """What is known of the site, or None when none was built yet (or by another version, or elsewhere)."""
    try:
        known = json.loads(_path(settings).read_text(encoding="utf-8"))
        if known.pop("format") != FORMAT or known.pop("output") != str(settings.output.resolve()):
            return None
        return Site(**known)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_site(settings: Settings, site: Site) -> None:
    """Note what is known now."""
    known = {"format": FORMAT, "output": str(settings.output.resolve()), **asdict(site)}
    write_whole(_path(settings), json.dumps(known, ensure_ascii=False).encode())


def is_known(settings: Settings) -> bool:
    """Whether a site was built and not forgotten."""
    return _path(settings).exists()


def forget_site(settings: Settings) -> None:
    """Know nothing of the site any more."""
    _path(settings).unlink(missing_ok=True)


def pages_by_thread(output: Path) -> dict[str, list[str]]:
    """Which files show something of which thread, found in the files themselves."""
    pages: dict[str, list[str]] = {}
    for name in files_below(output):
        if name.endswith(".html"):
            for path in sorted(counted((output / name).read_text(encoding="utf-8"))):
                pages.setdefault(path, []).append(name)
    return pages


def _path(settings: Settings) -> Path:
    return settings.instance / "site.json"
