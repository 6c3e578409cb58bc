"""Pelican's generators for a blog of ten thousand posts: lists of light posts, pages only where something is new."""

import calendar
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from pelican.contents import Article, Author, Category, Tag
from pelican.generators import ArticlesGenerator
from pelican.plugins import signals
from pelican.utils import order_content

from feedback_app.publishing.files.scan import Stamp, rescan, scan
from feedback_app.publishing.pelican.context import BUILD, Build
from feedback_app.publishing.pelican.post_index import WORTH_SHARING, PostIndex, read_article
from feedback_app.publishing.pelican.readers import KeptReaders
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.posts.internal_links import Links
from feedback_app.publishing.posts.lazy_post import LazyPost, Makers, Month

# Posts whose comments are fetched at once.
BATCH = 100


class PostsGenerator(ArticlesGenerator):
    """Makes lists of all posts, reading only those that changed, and the pages of those that something changed for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Pelican has it
        """As Pelican makes it."""
        super().__init__(*args, **kwargs)
        self.build: Build = self.settings[BUILD]
        self.readers = KeptReaders(self.settings, self.build.shelf)
        self.months: list[Month] = []
        # Whether all lists are what they were in the build before, and what that claimed for pages of posts.
        self.as_before = False
        self._claimed: dict[str, bytes] = {}
        # Lists of labels and the like in the order of dates, by their page; as long as the lists are what they were.
        self._dated: dict[str, list[LazyPost]] = {}
        # What the site's map says of posts; None until it is known.
        self.mapped: list[tuple[str, str]] | None = None
        self._common: dict[str, bytes] = {}
        self._links = Links(Path(self.path))
        # Published posts whose own page may be another all the same.
        self.renewed: list[LazyPost] = []
        self.writer: KeyedWriter | None = None
        self.env.globals["remember"] = self.build.remember

    def generate_context(self) -> None:
        """Put all posts into their lists."""
        library = self._library()
        found = self.build.found = self._find()
        shown = self.build.shelf.shown
        makers = Makers(self.settings, self._whole, shown, self.build.count, self.build.thread, self.build.asked)
        for path in library.refresh(found, self, makers):
            self._add_failed_source_path(path)
        self.as_before = (
            library.only_texts
            and bool(self._claimed)
            # What many processes claim, each for itself, is not known here.
            and len(library.fresh) < WORTH_SHARING
            and self.settings["ARTICLE_ORDER_BY"] == "reversed-date"
        )
        if not self.as_before:
            self._claimed, self._dated, self.mapped = {}, {}, None
            self._arrange(library.listed)
        self._look_up(library)
        signals.article_generator_pretaxonomy.send(self)
        if not self.as_before:
            self._sort()
        self._update_context(
            (
                "articles",
                "drafts",
                "hidden_articles",
                "dates",
                "tags",
                "categories",
                "authors",
                "related_posts",
                "months",
            )
        )
        self.context["period_archives"] = self.period_archives
        signals.article_generator_finalized.send(self)

    def _find(self) -> dict[str, Stamp]:
        base, named = Path(self.path), self.build.named
        found = rescan(self.build.found, base, named) if named else None
        return found or scan(
            base,
            self.settings["ARTICLE_PATHS"],
            extensions=frozenset(self.readers.extensions),
            ignored=self.settings["IGNORE_FILES"],
        )

    def _library(self) -> PostIndex:
        if self.build.library is None:
            self.build.library = PostIndex(self.build.shelf, Path(self.path))
        return self.build.library

    def _whole(self, path: str) -> Article:
        article = read_article(path, self)
        article.refresh_metadata_intersite_links()
        return article

    def _arrange(self, listed: dict[str, LazyPost]) -> None:
        posts = sorted(listed.values(), key=lambda post: post.order, reverse=True)
        self.articles: list[LazyPost] = []
        self.drafts: list[LazyPost] = []
        for post in posts:
            post.stand_alone()
            # A hidden post is where a draft is: where nobody comes who was not given its link.
            (self.articles if post.status == "published" else self.drafts).append(post)
        if self.settings["ARTICLE_ORDER_BY"] != "reversed-date":
            self.articles = order_content(self.articles, self.settings["ARTICLE_ORDER_BY"])
        for name in ("translations", "hidden_translations", "drafts_translations"):
            setattr(self, name, [])
        for newer, older in pairwise(self.articles):
            newer._older, older._newer = older, newer  # noqa: SLF001 - a pair that one arranges
        self._links.know(posts)

    def _look_up(self, library: PostIndex) -> None:
        """Every text is what its file says, and what the files are that it shows something of."""
        self.context["generated_content"].update(library.listed)
        if not self.as_before:
            for post in library.listed.values():
                post.put_away()
        self._links.begin(self.context)
        for post in self.articles:
            if post.edges or post.edges_before:
                post.edges_before, post.edges = post.edges, []
        fresh = (library.listed[path] for path in library.fresh if path in library.listed)
        self.renewed = [post for post in fresh if post.status == "published"]

    def _sort(self) -> None:
        tags: dict[str, list[LazyPost]] = {}
        authors: dict[str, list[LazyPost]] = {}
        categories: dict[str, list[LazyPost]] = {}
        self.tags: dict[Tag, list[LazyPost]] = defaultdict(list)
        by_author: dict[Author, list[LazyPost]] = defaultdict(list)
        by_category: dict[Category, list[LazyPost]] = defaultdict(list)
        for post in self.articles:
            for tag in post.card.get("tags", ()):
                if tag not in tags:
                    tags[tag] = self.tags[post.makers.tag(tag)]
                tags[tag].append(post)
            for kind, name, lists, wrapper in (
                ("author", authors, by_author, Author),
                ("category", categories, by_category, Category),
            ):
                if (known := post.card.get(kind)) is not None:
                    if known not in name:
                        name[known] = lists[wrapper(known, self.settings)]
                    name[known].append(post)
        self.categories = sorted(by_category.items(), reverse=self.settings["REVERSE_CATEGORY_ORDER"])
        self.authors = sorted(by_author.items())
        self.dates = self._by_date(self.articles)
        self.period_archives = self._periods()
        self.months = self._months()

    def _by_date(self, posts: list[LazyPost]) -> list[LazyPost]:
        return sorted(posts, key=lambda post: post.order[0], reverse=self.settings["NEWEST_FIRST_ARCHIVES"])

    def _periods(self) -> dict[str, list[dict[str, Any]]]:
        periods: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for size, granularity in enumerate(("year", "month", "day"), 1):
            save_as = self.settings[f"{granularity.upper()}_ARCHIVE_SAVE_AS"]
            if not save_as:
                continue
            articles: dict[tuple[int, ...], list[LazyPost]] = defaultdict(list)
            for post in self.articles:
                articles[_period(post, size)].append(post)
            for number, group in groupby(self.dates, key=lambda post: _period(post, size)):
                dates = list(group)
                period = number if size == 1 else (number[0], calendar.month_name[number[1]], *number[2:])
                periods[granularity].append(
                    {
                        "dates": dates,
                        "articles": articles[number],
                        "save_as": save_as.format(date=dates[0].date),
                        "url": self.settings[f"{granularity.upper()}_ARCHIVE_URL"].format(date=dates[0].date),
                        "period": period,
                        "period_num": number,
                    }
                )
        return periods

    def _months(self) -> list[Month]:
        months = []
        for number, group in groupby(self.articles, key=lambda post: _period(post, 2)):
            articles = list(group)
            url = self.settings["MONTH_ARCHIVE_URL"].format(date=articles[0].date)
            months.append(Month(number[0], number[1], f"{calendar.month_name[number[1]]} {number[0]}", url, articles))
        return months

    def refresh_metadata_intersite_links(self) -> None:
        """Nothing: it is done to each whole article when it is loaded."""

    def settle(self) -> None:
        """Everything that there is is known by now: say where files will be, and whose page is another for it."""
        said = [post for post in self.articles if post.edges or post.edges_before]
        others = [post for post in said if post.edges != post.edges_before] + self._links.settle(self.context)
        known = {post.path for post in self.renewed}
        self.renewed += {post.path: post for post in others if post.path not in known}.values()

    def check_disabled_readers(self) -> None:
        """Warn of files that nobody here can read, where there is a kind of them."""
        if self.readers.disabled_extensions:
            super().check_disabled_readers()

    def generate_output(self, writer: KeyedWriter) -> None:
        """Write what is new, and fetch the comments that are needed for it."""
        self.writer = writer
        super().generate_output(writer)

    def generate_articles(self, _write: Callable[..., None]) -> None:
        """Write the pages of posts, each with the feed of its comments."""
        due = list(self.due(self._its_writer()))
        for batch in (due[start : start + BATCH] for start in range(0, len(due), BATCH)):
            self.build.fetch([post.address for post in batch])
            for post in batch:
                signals.article_generator_write_article.send(self, content=post)
                self._its_writer().render(
                    post.save_as,
                    self.get_template(post.template),
                    self.context,
                    article=post,
                    category=getattr(post, "category", None),
                    url=post.url,
                    blog=True,
                )
                self._its_writer().put(post.comments_feed_url.lstrip("/"), self.build.feed(post).encode())
                post.put_away()
            self.build.drop_threads()

    def due(self, writer: KeyedWriter) -> Iterator[LazyPost]:
        """Posts whose page is not what it has to be; the names of the others' files are claimed."""
        given = {"category": None, "article": None}
        posts = self.articles
        names = {post.card["template"] for post in posts}
        common = {
            name: writer.page_key(writer.versions, self.get_template(name), self.context, given) for name in names
        }
        if self.as_before and common == self._common:
            # Each page is what it was, but for these.
            writer.wanted |= self._claimed
            posts = self.renewed
            for post in posts:
                del writer.wanted[post.save_as], writer.wanted[_feed(post)]
        self._common = common
        for post in posts:
            key = post.page_key(common[post.card["template"]])
            self._claimed[post.save_as] = self._claimed[_feed(post)] = key
            if writer.needs(post.save_as, key):
                writer.needs(_feed(post), key)
                writer.made.add(_feed(post))
                yield post
            else:
                writer.wanted[_feed(post)] = key

    def generate_tags(self, write: Callable[..., None]) -> None:
        """Write the labels' pages."""
        self._write_lists(write, "tag", "tag", self.tags.items())

    def generate_categories(self, write: Callable[..., None]) -> None:
        """Write the categories' pages."""
        self._write_lists(write, "category", "category", self.categories)

    def generate_authors(self, write: Callable[..., None]) -> None:
        """Write the authors' pages."""
        self._write_lists(write, "author", "author", self.authors)

    def _write_lists(self, write: Callable[..., None], template: str, name: str, lists: Iterable[Any]) -> None:
        for wrapper, articles in lists:
            if not wrapper.save_as:
                continue
            if wrapper.save_as not in self._dated:
                self._dated[wrapper.save_as] = self._by_date(articles)
            dates = self._dated[wrapper.save_as]
            write(
                wrapper.save_as,
                self.get_template(template),
                self.context,
                articles=articles,
                dates=dates,
                paginated={"articles": articles, "dates": dates},
                template_name=template,
                blog=True,
                page_name=wrapper.page_name,
                all_articles=self.articles,
                url=wrapper.url,
                **{name: wrapper},
            )

    def _its_writer(self) -> KeyedWriter:
        assert self.writer is not None  # noqa: S101 - set when the output is begun
        return self.writer


def _feed(post: LazyPost) -> str:
    return post.comments_feed_url.lstrip("/")


def _period(post: LazyPost, size: int) -> tuple[int, ...]:
    return (post.date.year, post.date.month, post.date.day)[:size]
