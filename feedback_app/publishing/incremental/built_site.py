"""The built site as a whole: the lock on the output folder, whether a site was built, and its address on the web."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

from feedback_app.comments.threads.renderer import SiteInfo
from feedback_app.config import Settings
from feedback_app.publishing.incremental.cache import BuildCache


@contextmanager
def output_lock(settings: Settings) -> Iterator[None]:
    """Wait until no other process writes to the output folder, and keep others out meanwhile."""
    settings.instance.mkdir(parents=True, exist_ok=True)
    with (settings.instance / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_built(settings: Settings) -> bool:
    """Whether the cache describes a built site."""
    cache = BuildCache.open_built(settings)
    if cache is None:
        return False
    cache.close()
    return True


def read_site_info(cache: BuildCache) -> SiteInfo:
    """Return the blog's address, name and time zone as they were when it was built, for the thread renderer."""
    return SiteInfo(cache.get_fact("site_url"), cache.get_fact("site_name"), ZoneInfo(cache.get_fact("zone")))


def save_site_info(cache: BuildCache, site: SiteInfo) -> None:
    """Save the blog's address, name and time zone."""
    cache.set_facts(site_url=site.site_url, site_name=site.site_name, zone=site.zone.key)


def forget_site(settings: Settings) -> None:
    """Forget everything about the site: the next build makes it anew."""
    with output_lock(settings):
        cache = BuildCache.open_built(settings)
        if cache is not None:
            # Cleared, not deleted: another process may have the file open.
            cache.clear()
            cache.close()
