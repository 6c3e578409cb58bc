"""The Pelican plugin: gives every post its thread, its counts, its neighbours, and writes the comments' feeds."""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup
from pelican import Pelican, signals
from pelican.contents import Article
from pelican.generators import ArticlesGenerator

from feedback_app.comments.rendering import Place, clock, feed_path, form_url, thread_feed
from feedback_app.comments.services import Post, approved_comments, register_posts, thread_versions
from feedback_app.config import load_settings
from feedback_app.db import Store
from feedback_app.publishing.files import write_whole
from feedback_app.publishing.threads import SITE_FEED, pieces_of, site_feed_xml
from feedback_app.store import open_store

BUILD = "UNDISCLOSED_BUILD"


@dataclass(slots=True)
class Build:
    """One run of Pelican: the store it reads, and what it learns on the way."""

    store: Store
    place: Place | None = None
    versions: dict[str, int] = field(default_factory=dict)
    feeds: dict[str, str] = field(default_factory=dict)
    posts: int = 0


def register() -> None:
    """Connect to Pelican."""
    signals.initialized.connect(_start)
    signals.article_generator_finalized.connect(_attach)
    signals.finalized.connect(_write_feeds)


def _start(pelican: Pelican) -> None:
    settings = pelican.settings
    # Run by `undisclosed build` there is a store; run by Pelican itself it is opened here.
    build = settings.setdefault(BUILD, None) or Build(open_store(load_settings()))
    settings[BUILD] = build
    build.place = Place(settings["SITEURL"], settings["SITENAME"], ZoneInfo(settings["TIMEZONE"]))
    settings["JINJA_FILTERS"] = {**settings["JINJA_FILTERS"], "clock": clock}


def _attach(generator: ArticlesGenerator) -> None:
    build: Build = generator.settings[BUILD]
    place = build.place
    assert place is not None  # noqa: S101 - set when Pelican started
    articles = sorted(generator.articles, key=_order)
    shown = [*articles, *generator.hidden_articles]
    posts = [Post(_path(article), str(article.title), _moment(article)) for article in shown]
    with build.store.writing() as session:
        register_posts(session, posts)
    with build.store.reading() as session:
        build.versions = thread_versions(session)
        threads = approved_comments(session)
        whole = site_feed_xml(session, place)
    for article, post in zip(shown, posts, strict=True):
        comments = threads.get(post.path, [])
        pieces = pieces_of(post.path, comments, place)
        article.thread = pieces["thread", post.path]
        article.comment_count = pieces["count", post.path]
        article.comment_form_url = form_url(post.path)
        article.comments_feed_url = feed_path(post.path)
        build.feeds[feed_path(post.path)] = thread_feed(post.path, post.title, post.published_at, comments, place)
    for draft in generator.drafts:
        draft.thread = draft.comment_count = Markup()
    for older, newer in pairwise(articles):
        older.newer, newer.older = newer, older
    build.posts = len(articles)
    if whole:
        build.feeds[SITE_FEED] = whole


def _write_feeds(pelican: Pelican) -> None:
    build: Build = pelican.settings[BUILD]
    for name, xml in build.feeds.items():
        write_whole(Path(pelican.output_path) / name.lstrip("/"), xml.encode())


def _path(article: Article) -> str:
    return f"/{article.url}"


def _moment(article: Article) -> datetime:
    # Pelican's own datetime class adds strftime's codes; the store wants a plain one.
    return datetime.fromtimestamp(article.date.timestamp(), tz=article.date.tzinfo)


def _order(article: Article) -> tuple[Any, ...]:
    return article.date, article.slug
