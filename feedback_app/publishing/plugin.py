"""The Pelican plugin: every post gets its thread, its counts and its neighbours, and comments get their feeds."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pelican import Pelican, signals
from pelican.contents import Article
from pelican.generators import ArticlesGenerator

from feedback_app.comments.threads.registry import Post
from feedback_app.comments.threads.renderer import NEVER, SiteInfo, clock, feed_path, form_url
from feedback_app.publishing.content.front_matter import line_of
from feedback_app.publishing.files.write import write_whole
from feedback_app.publishing.live.update import SITE_FEED
from feedback_app.publishing.pelican import hooks
from feedback_app.publishing.pelican.build import BUILD, Build
from feedback_app.publishing.pelican.compat import Feed, set_feed_date
from feedback_app.publishing.pelican.extra_files import write_redirects
from feedback_app.publishing.pelican.post_index import PostRefused
from feedback_app.publishing.posts.card import announcement_summary
from feedback_app.publishing.posts.lazy_post import LazyPost
from feedback_app.publishing.render.post_html import absolute, listed


def register() -> None:
    """Connect to Pelican."""
    signals.initialized.connect(_prepare_settings)
    signals.article_generator_init.connect(_add_template_function)
    signals.article_generator_finalized.connect(_attach_threads)
    signals.feed_generated.connect(_complete_feed)
    signals.finalized.connect(_write_feed_and_redirects)
    hooks.register()


def _prepare_settings(pelican: Pelican) -> None:
    settings = pelican.settings
    build: Build | None = settings.get(BUILD)
    if build is None:
        message = "this blog is built by `undisclosed build`: Pelican alone does not know its comments"
        raise PostRefused(message)
    build.site = SiteInfo(settings["SITEURL"], settings["SITENAME"], ZoneInfo(settings["TIMEZONE"]))
    settings["JINJA_FILTERS"] = {**settings["JINJA_FILTERS"], "clock": clock, "listed": listed}
    hooks.add_filters(settings)


def _add_template_function(generator: ArticlesGenerator) -> None:
    generator.env.globals["remember"] = generator.settings[BUILD].pieces.remember


def _attach_threads(generator: ArticlesGenerator) -> None:
    build: Build = generator.settings[BUILD]
    articles = generator.articles
    content = Path(generator.settings["PATH"])
    if getattr(generator, "lists_unchanged", False):
        build.posts |= {post.address: _post(post, build, content) for post in generator.changed_posts}
    else:
        _refuse_equal_addresses(articles)
        build.posts = {f"/{article.url}": _post(article, build, content) for article in articles}
    build.find_moves()
    hooks.prepare_posts(generator)
    generator.drafts_translations.clear()
    if articles and not isinstance(articles[0], LazyPost):
        _complete_articles(build, articles)


def _complete_articles(build: Build, articles: list[Article]) -> None:
    """Give Pelican's own articles what lazy posts have by themselves."""
    for article in articles:
        address = f"/{article.url}"
        article.thread = build.thread(address)
        article.comment_count = build.comment_count(address)
        article.comment_form_url = form_url(address)
        article.comments_feed_url = feed_path(address)
    for newer, older in pairwise(sorted(articles, key=lambda article: (article.date, article.slug))[::-1]):
        older.newer, newer.older = newer, older


def _post(article: Any, build: Build, content: Path) -> Post:  # noqa: ANN401 - Pelican's article, or a lazy post
    """Return what the store has to know of a post; the object of the build before if nothing of it has changed."""
    address = f"/{article.url}"
    known = build.posts.get(address)
    if isinstance(article, LazyPost):
        if known is not None and build.post_versions.get(address) == (article.path, article.version):
            return known
        build.post_versions[address] = article.path, article.version
        at = article.card["at"]
    else:
        at = article.date.timestamp()
    post = Post(
        address,
        str(article.title),
        # Pelican's own datetime class adds codes to strftime; the store wants a plain one, and compares the two.
        datetime.fromtimestamp(at, tz=UTC),
        source=str(article.source_path).removeprefix(f"{content}/"),
        announce=announcement_summary(article),
    )
    return known if known == post and known is not None else post


def _refuse_equal_addresses(articles: list[Any]) -> None:
    if len({article.url for article in articles}) == len(articles):
        return
    first: dict[str, str] = {}
    for article in sorted(articles, key=lambda article: str(article.source_path)):
        other = first.setdefault(article.url, article.source_path)
        if other != article.source_path:
            where = line_of(Path(article.source_path), "slug")
            message = f"{where}: has the same address as {other} (/{article.url}): change its slug"
            raise PostRefused(message)


def _complete_feed(_context: object, feed: Feed) -> None:
    if not feed.items:
        set_feed_date(feed, NEVER)
    for item in feed.items:
        for part in ("content", "description"):
            if item.get(part):
                item[part] = absolute(item[part], item["link"])


def _write_feed_and_redirects(pelican: Pelican) -> None:
    build: Build = pelican.settings[BUILD]
    write_whole(Path(pelican.output_path) / SITE_FEED, build.site_comments_feed().encode())
    write_redirects(pelican, build.moves, build.posts)
