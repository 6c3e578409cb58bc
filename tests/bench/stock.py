"""Stock Pelican on the same blog, with the same theme, plugin and comments: `python -m tests.bench.stock [--cache]`.

Its own generators, writer and readers, as `pelican` runs them; nothing of our builds but what a page shows.
"""

import sys
from pathlib import Path
from typing import Any

from pelican import Pelican, signals
from pelican.settings import read_settings

from feedback_app.comments.models import ShownComment
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.publishing.builder import CONFIGURATION
from feedback_app.publishing.content.leak_guard import SHOP, LeakGuard
from feedback_app.publishing.incremental import BuildCache
from feedback_app.publishing.pelican.build import BUILD, Build
from feedback_app.publishing.pelican.hooks import adapt_settings
from feedback_app.publishing.posts.lists import by_month


class Shop(LeakGuard):
    """What our plugin asks for; Pelican's cache pickles its labels, and with them all settings."""

    def __reduce__(self) -> tuple[type[str], tuple[str]]:  # noqa: D105 - as pickle has it
        return str, ("shop",)


class AtOnce(Build):
    """A build that fetches all comments with one query: how they are fetched is not what is measured."""

    def __reduce__(self) -> tuple[type[str], tuple[str]]:  # noqa: D105 - as pickle has it
        return str, ("build",)

    def _comments_of(self, address: str) -> list[ShownComment]:
        if not self._comments:
            self.load_comments(list(self.posts))
        return self._comments.get(address, [])


def main() -> None:
    """Build the shop in this folder."""
    settings = load_settings({"UNDISCLOSED_INSTANCE": "instance"})
    store = open_store(settings)
    aside = settings.model_copy(update={"instance": Path("stock-instance")})
    build = AtOnce(store, settings, BuildCache.open(aside))
    cached = "--cache" in sys.argv
    values = read_settings(
        str(CONFIGURATION),
        override={
            "PATH": str(Path("content").resolve()),
            "OUTPUT_PATH": str(Path("stock-output").resolve()),
            "SITEURL": settings.site_url,
            "FEED_DOMAIN": settings.site_url,
            "CACHE_PATH": str(Path("stock-cache").resolve()),
            "CACHE_CONTENT": cached,
            "LOAD_CONTENT_CACHE": cached,
            BUILD: build,
            SHOP: Shop(settings, store),
        },
    )
    adapt_settings(values, settings)
    signals.article_generator_finalized.connect(_months)
    Pelican(values).run()
    store.close()


def _months(generator: Any) -> None:  # noqa: ANN401 - Pelican has no types
    generator.context["months"] = by_month(
        generator.articles, generator.settings
    )  # what the archive's template goes through


if __name__ == "__main__":
    main()
