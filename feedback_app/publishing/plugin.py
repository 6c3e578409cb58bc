"""The Pelican plugin: gives every post its thread, its counts, its neighbours, and writes the comments' feeds."""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from pelican import Pelican, signals
from pelican.contents import Article
from pelican.generators import ArticlesGenerator

from feedback_app.comments.threads.renderer import NEVER, SiteInfo, clock, feed_path, form_url
from feedback_app.publishing.content.front_matter import line_of
from feedback_app.publishing.files.write import write_whole
from feedback_app.publishing.live.update import SITE_FEED
from feedback_app.publishing.pelican import hooks
from feedback_app.publishing.pelican.context import BUILD, Build, post_of, source_of
from feedback_app.publishing.pelican.post_index import PostRefused
from feedback_app.publishing.posts.lazy_post import LazyPost, words_of
from feedback_app.publishing.render.post_html import absolute, listed


class Feed(Protocol):
    """What is used of Pelican's feeds, which have no types."""

    items: list[dict[str, Any]]
    latest_post_date: Callable[[], datetime]


def register() -> None:
    """Connect to Pelican."""
    signals.initialized.connect(_start)
    signals.article_generator_init.connect(_help)
    signals.article_generator_finalized.connect(_attach)
    signals.feed_generated.connect(_mend_feed)
    signals.finalized.connect(_finish)
    hooks.register()


def _start(pelican: Pelican) -> None:
    settings = pelican.settings
    build: Build | None = settings.get(BUILD)
    if build is None:
        message = "this blog is built by `undisclosed build`: Pelican alone does not know its comments"
        raise PostRefused(message)
    build.place = SiteInfo(settings["SITEURL"], settings["SITENAME"], ZoneInfo(settings["TIMEZONE"]))
    settings["JINJA_FILTERS"] = {**settings["JINJA_FILTERS"], "clock": clock, "listed": listed}
    hooks.prepare_filters(settings)


def _help(generator: ArticlesGenerator) -> None:
    generator.env.globals["remember"] = generator.settings[BUILD].remember


def _attach(generator: ArticlesGenerator) -> None:
    build: Build = generator.settings[BUILD]
    shown = generator.articles
    content = Path(generator.settings["PATH"])
    if getattr(generator, "as_before", False):
        build.posts |= {post.address: _post(post, build, content) for post in generator.renewed}
    else:
        _refuse_twins(shown)
        build.posts = {f"/{article.url}": _post(article, build, content) for article in shown}
    build.find_moves()
    hooks.dress_articles(generator)
    generator.drafts_translations.clear()
    if shown and not isinstance(shown[0], LazyPost):
        _by_hand(generator, build, shown)


def _by_hand(generator: ArticlesGenerator, build: Build, shown: list[Article]) -> None:
    """Give Pelican's own articles what listed ones have by themselves."""
    for article in shown:
        address = f"/{article.url}"
        article.thread = build.thread(address)
        article.comment_count = build.count(address)
        article.comment_form_url = form_url(address)
        article.comments_feed_url = feed_path(address)
    for newer, older in pairwise(sorted(generator.articles, key=lambda article: (article.date, article.slug))[::-1]):
        older.newer, newer.older = newer, older


def _post(article: Any, build: Build, content: Path) -> Any:  # noqa: ANN401 - Pelican's article, or a listed one
    address = f"/{article.url}"
    known = build.posts.get(address)
    if isinstance(article, LazyPost):
        if known is not None and build.made_of.get(address) == (article.path, article.version):
            return known
        build.made_of[address] = article.path, article.version
    source = source_of(article, content)
    if (
        known is not None
        and known.source == source
        and known.title == article.title
        and known.published_at == article.date
        and known.announce == words_of(article)
    ):
        return known
    return post_of(article, content)


def _refuse_twins(articles: list[Any]) -> None:
    if len({article.url for article in articles}) == len(articles):
        return
    first: dict[str, str] = {}
    for article in sorted(articles, key=lambda article: str(article.source_path)):
        other = first.setdefault(article.url, article.source_path)
        if other != article.source_path:
            where = line_of(Path(article.source_path), "slug")
            message = f"{where}: has the same address as {other} (/{article.url}): change its slug"
            raise PostRefused(message)


def _mend_feed(_context: object, feed: Feed) -> None:
    if not feed.items:
        # Pelican would take the time of the build, and every build would differ.
        feed.latest_post_date = lambda: NEVER
    for item in feed.items:
        for part in ("content", "description"):
            if item.get(part):
                item[part] = absolute(item[part], item["link"])


def _finish(pelican: Pelican) -> None:
    build: Build = pelican.settings[BUILD]
    write_whole(Path(pelican.output_path) / SITE_FEED, build.site_feed().encode())
    hooks.write_redirects(pelican, build.moves, build.posts)
