"""The Pelican plugin: gives every post its thread, its counts, its neighbours, and writes the comments' feeds."""

import heapq
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from pelican import Pelican, signals
from pelican.contents import Article
from pelican.generators import ArticlesGenerator

from feedback_app.comments.models import Comment
from feedback_app.comments.rendering import (
    FEED_LENGTH,
    NEVER,
    Entry,
    Place,
    clock,
    feed_path,
    form_url,
    site_feed,
    thread_feed,
)
from feedback_app.comments.services import Post, approved_comments, register_posts, thread_versions
from feedback_app.config import load_settings
from feedback_app.db import Store
from feedback_app.publishing.files import write_whole
from feedback_app.publishing.texts import absolute, listed
from feedback_app.publishing.threads import SITE_FEED, pieces_of
from feedback_app.store import open_store

BUILD = "UNDISCLOSED_BUILD"
# A slug is a file's name and a piece of an address: letters, digits, and signs that mean nothing in either.
SLUG = re.compile(r"[\w~-][\w.~-]*")


class PostRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A post can't be published as it is; one line that names its file."""


class Feed(Protocol):
    """What is used of Pelican's feeds, which have no types."""

    items: list[dict[str, Any]]
    latest_post_date: Callable[[], datetime]


@dataclass(slots=True)
class Build:
    """One run of Pelican: the store it reads, and what it learns on the way."""

    store: Store
    place: Place | None = None
    posts: list[Post] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    feeds: dict[str, str] = field(default_factory=dict)
    alone: bool = False

    def announce(self) -> None:
        """Open the threads of the posts that are published, close the others.

        Not before the whole site is known to be good: until then the old one is live, and so are its threads.
        """
        with self.store.writing() as session:
            register_posts(session, self.posts)


def register() -> None:
    """Connect to Pelican."""
    signals.initialized.connect(_start)
    signals.article_generator_finalized.connect(_attach)
    signals.feed_generated.connect(_mend_feed)
    signals.finalized.connect(_finish)


def _start(pelican: Pelican) -> None:
    settings = pelican.settings
    # Run by `undisclosed build` there is a store; run by Pelican itself it is opened here.
    build = settings.setdefault(BUILD, None) or Build(open_store(load_settings()), alone=True)
    settings[BUILD] = build
    build.place = Place(settings["SITEURL"], settings["SITENAME"], ZoneInfo(settings["TIMEZONE"]))
    settings["JINJA_FILTERS"] = {**settings["JINJA_FILTERS"], "clock": clock, "listed": listed}


def _attach(generator: ArticlesGenerator) -> None:
    build: Build = generator.settings[BUILD]
    place = build.place
    assert place is not None  # noqa: S101 - set when Pelican started
    articles = sorted(generator.articles, key=_order)
    shown = [*articles, *generator.hidden_articles]
    build.posts = [_post(article) for article in shown]
    _refuse_twins(shown)
    # A draft is not published, not even where nobody links to it.
    generator.drafts.clear()
    generator.drafts_translations.clear()
    with build.store.reading() as session:
        build.versions = thread_versions(session)
        threads = approved_comments(session)
    for article, post in zip(shown, build.posts, strict=True):
        comments = threads.get(post.path, [])
        pieces = pieces_of(post.path, comments, place)
        article.thread = pieces["thread", post.path]
        article.comment_count = pieces["count", post.path]
        article.comment_form_url = form_url(post.path)
        article.comments_feed_url = feed_path(post.path)
        build.feeds[feed_path(post.path)] = thread_feed(post.path, post.title, post.published_at, comments, place)
    for older, newer in pairwise(articles):
        older.newer, newer.older = newer, older
    build.feeds[SITE_FEED] = _site_feed(build.posts, threads, place)


def _post(article: Article) -> Post:
    if not SLUG.fullmatch(article.slug):
        message = (
            f"{article.source_path}: the slug {article.slug!r} can't be part of an address: "
            "use letters, digits and hyphens"
        )
        raise PostRefused(message)
    return Post(f"/{article.url}", str(article.title), _moment(article))


def _refuse_twins(articles: list[Article]) -> None:
    first: dict[str, str] = {}
    for article in articles:
        other = first.setdefault(article.url, article.source_path)
        if other != article.source_path:
            message = f"{article.source_path}: has the same address as {other} (/{article.url}): change its slug"
            raise PostRefused(message)


def _site_feed(posts: list[Post], threads: dict[str, list[Comment]], place: Place) -> str:
    # What `threads.site_feed_xml` reads from the store, for posts that the store may not know yet.
    entries = [Entry(comment, post.path, post.title) for post in posts for comment in threads.get(post.path, [])]
    newest = heapq.nlargest(FEED_LENGTH, entries, key=lambda entry: (entry.comment.created_at, entry.comment.id))
    return site_feed(newest, max((post.published_at for post in posts), default=NEVER), place)


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
    for name, xml in build.feeds.items():
        write_whole(Path(pelican.output_path) / name.lstrip("/"), xml.encode())
    if build.alone:
        build.announce()


def _moment(article: Article) -> datetime:
    # Pelican's own datetime class adds strftime's codes; the store wants a plain one.
    return datetime.fromtimestamp(article.date.timestamp(), tz=article.date.tzinfo)


def _order(article: Article) -> tuple[Any, ...]:
    return article.date, article.slug
