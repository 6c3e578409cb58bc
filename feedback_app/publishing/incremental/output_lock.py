"""The site that stands in the output folder: who may write to it, and where on the web it is."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

from feedback_app.comments.threads.renderer import SiteInfo
from feedback_app.config import Settings
from feedback_app.publishing.incremental.cache import BuildCache


@contextmanager
def output_lock(settings: Settings) -> Iterator[None]:
    """One process at a time writes to the output folder."""
    settings.instance.mkdir(parents=True, exist_ok=True)
    with (settings.instance / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_known(settings: Settings) -> bool:
    """Whether a site was built and not forgotten."""
    shelf = BuildCache.made(settings)
    if shelf is None:
        return False
    shelf.close()
    return True


def place_of(shelf: BuildCache) -> SiteInfo:
    """Where the blog was when it was built, for the renderer."""
    return SiteInfo(shelf.fact("site_url"), shelf.fact("site_name"), ZoneInfo(shelf.fact("zone")))


def keep_place(shelf: BuildCache, place: SiteInfo) -> None:
    """Remember where the blog is."""
    shelf.note(site_url=place.site_url, site_name=place.site_name, zone=place.zone.key)


def forget_site(settings: Settings) -> None:
    """Know nothing of the site any more: the next build makes it anew."""
    with output_lock(settings):
        shelf = BuildCache.made(settings)
        if shelf is not None:
            # Not taken away: somebody may be following it.
            shelf.clear()
            shelf.close()
