"""Pelican's generator of articles for ten thousand posts: lists of light posts, and only pages that have changed."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from pelican.contents import Article, Author, Category, Tag
from pelican.generators import ArticlesGenerator
from pelican.plugins import signals
from pelican.utils import order_content

from feedback_app.publishing.files.scan import Stamp, rescan, scan
from feedback_app.publishing.incremental import MIN_PARALLEL_FILES
from feedback_app.publishing.pelican.build import BUILD, Build
from feedback_app.publishing.pelican.compat import note_unreadable_file, pin_file, publish_to_templates
from feedback_app.publishing.pelican.post_index import PostIndex
from feedback_app.publishing.pelican.readers import CachedReaders, read_article
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.posts.internal_links import InternalLinks
from feedback_app.publishing.posts.lazy_post import LazyPost, Month, PostLoader
from feedback_app.publishing.posts.lists import by_author, by_category, by_date, by_month, by_period, by_tag

# For so many posts at once their comments are loaded.
POSTS_PER_BATCH = 100
_FOR_TEMPLATES = (
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


class PostsGenerator(ArticlesGenerator):
    """Lists all posts, reading only files that have changed, and writes the pages of posts that have changed.

    It lives from build to build. While nothing but texts changes, all lists stay as they are (`lists_unchanged`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Pelican's signature
        """Take what Pelican gives a generator."""
        super().__init__(*args, **kwargs)
        self.build: Build = self.settings[BUILD]
        self.readers = CachedReaders(self.settings, self.build.cache)
        self.writer: KeyedWriter | None = None
        self.env.globals["remember"] = self.build.pieces.remember
        self._links = InternalLinks(Path(self.path), pin_file)
        self.articles: list[LazyPost] = []
        self.drafts: list[LazyPost] = []
        self.tags: dict[Tag, list[LazyPost]] = {}
        self.categories: list[tuple[Category, list[LazyPost]]] = []
        self.authors: list[tuple[Author, list[LazyPost]]] = []
        self.months: list[Month] = []
        # Published posts whose own pages may have changed although the lists have not.
        self.changed_posts: list[LazyPost] = []
        # Whether all lists are as they were in the build before. What follows is only used then.
        self.lists_unchanged = False
        # The keys of posts' pages in the build before, by name; and of what all pages with a template show.
        self._page_keys: dict[str, bytes] = {}
        self._common_keys: dict[str, bytes] = {}
        # The posts of labels, categories and authors by date, by the names of their pages.
        self._dates_of: dict[str, list[LazyPost]] = {}
        # The posts' addresses and days in the sitemap; None until they were listed.
        self.sitemap_entries: list[tuple[str, str]] | None = None

    def generate_context(self) -> None:
        """List all posts."""
        index = self._index()
        stamps = self.build.stamps = self._stamps()
        for path in index.refresh(stamps, self, self._loader()):
            note_unreadable_file(self, path)
        self.lists_unchanged = (
            index.only_texts_changed
            and bool(self._page_keys)
            # Where children write, each knows the keys of its own pages only.
            and len(index.read_paths) < MIN_PARALLEL_FILES
            and self.settings["ARTICLE_ORDER_BY"] == "reversed-date"
        )
        if not self.lists_unchanged:
            self._page_keys, self._dates_of, self.sitemap_entries = {}, {}, None
            self._order_posts(index.posts)
        self._start_build(index)
        signals.article_generator_pretaxonomy.send(self)
        if not self.lists_unchanged:
            self._make_lists()
        publish_to_templates(self, _FOR_TEMPLATES)
        self.context["period_archives"] = self.period_archives
        signals.article_generator_finalized.send(self)

    def _index(self) -> PostIndex:
        if self.build.index is None:
            self.build.index = PostIndex(self.build.cache, Path(self.path))
        return self.build.index

    def _stamps(self) -> dict[str, Stamp]:
        base, changed = Path(self.path), self.build.changed_files
        stamps = rescan(self.build.stamps, base, changed) if changed else None
        return stamps or scan(
            base,
            self.settings["ARTICLE_PATHS"],
            extensions=frozenset(self.readers.extensions),
            ignored=self.settings["IGNORE_FILES"],
        )

    def _loader(self) -> PostLoader:
        build = self.build
        return PostLoader(
            self.settings,
            article=self._whole_article,
            page_text=self._page_text,
            comment_count=build.comment_count,
            thread=build.thread,
            full_reads=build.full_reads,
        )

    def _whole_article(self, path: str) -> Article:
        article = read_article(path, self)
        article.refresh_metadata_intersite_links()
        return article

    def _page_text(self, path: str) -> str | None:
        texts = self.build.cache.texts(path)
        return texts.page_text if texts else None

    def _order_posts(self, posts: dict[str, LazyPost]) -> None:
        ordered = sorted(posts.values(), key=lambda post: post.sort_key, reverse=True)
        for post in ordered:
            post.clear_neighbours()
        self.articles = [post for post in ordered if post.status == "published"]
        # Hidden posts are where drafts are: each reachable only by its private link.
        self.drafts = [post for post in ordered if post.status != "published"]
        if self.settings["ARTICLE_ORDER_BY"] != "reversed-date":
            self.articles = order_content(self.articles, self.settings["ARTICLE_ORDER_BY"])
        for name in ("translations", "hidden_translations", "drafts_translations"):
            setattr(self, name, [])
        for newer, older in pairwise(self.articles):
            newer.set_older(older)
        self._links.set_posts(ordered)

    def _start_build(self, index: PostIndex) -> None:
        """Give up what the build before knew of texts, and follow the links of all posts."""
        self.context["generated_content"].update(index.posts)
        if not self.lists_unchanged:
            for post in index.posts.values():
                post.unload()
        self._links.start_build(self.context)
        for post in self.articles:
            if post.edges or post.previous_edges:
                post.previous_edges, post.edges = post.edges, []
        read = (index.posts[path] for path in index.read_paths if path in index.posts)
        self.changed_posts = [post for post in read if post.status == "published"]

    def _make_lists(self) -> None:
        self.tags = by_tag(self.articles)
        self.categories = by_category(self.articles, reverse=self.settings["REVERSE_CATEGORY_ORDER"])
        self.authors = by_author(self.articles)
        self.dates = self._by_date(self.articles)
        self.period_archives = by_period(self.articles, self.dates, self.settings)
        self.months = by_month(self.articles, self.settings)

    def _by_date(self, posts: list[LazyPost]) -> list[LazyPost]:
        return by_date(posts, newest_first=self.settings["NEWEST_FIRST_ARCHIVES"])

    def refresh_metadata_intersite_links(self) -> None:
        """Do nothing: each whole article has its links refreshed when it is loaded."""

    def resolve_links(self) -> None:
        """Decide where linked files go, once all generators are done, and find the posts whose pages change for it."""
        with_edges = [post for post in self.articles if post.edges or post.previous_edges]
        others = [post for post in with_edges if post.edges != post.previous_edges]
        others += self._links.resolve(self.context)
        known = {post.path for post in self.changed_posts}
        self.changed_posts += {post.path: post for post in others if post.path not in known}.values()

    def check_disabled_readers(self) -> None:
        """Warn of files whose readers are not installed, if there is any such reader."""
        if self.readers.disabled_extensions:
            super().check_disabled_readers()

    def generate_output(self, writer: KeyedWriter) -> None:
        """Write what has changed."""
        self.writer = writer
        super().generate_output(writer)

    def generate_articles(self, _write: Callable[..., None]) -> None:
        """Write the pages of posts, each with the feed of its comments."""
        writer = self._its_writer()
        posts = list(self.posts_to_write(writer))
        for batch in (posts[start : start + POSTS_PER_BATCH] for start in range(0, len(posts), POSTS_PER_BATCH)):
            self.build.load_comments([post.address for post in batch])
            for post in batch:
                signals.article_generator_write_article.send(self, content=post)
                writer.render(
                    post.save_as,
                    self.get_template(post.template),
                    self.context,
                    article=post,
                    category=getattr(post, "category", None),
                    url=post.url,
                    blog=True,
                )
                writer.write_bytes(_comments_feed(post), self.build.comments_feed(post.address).encode())
                post.unload()
            self.build.drop_comments()

    def posts_to_write(self, writer: KeyedWriter) -> Iterator[LazyPost]:
        """Yield the posts whose pages have to be written, and claim the names of all posts' pages and feeds."""
        arguments = {"category": None, "article": None}
        posts = self.articles
        templates = {post.card["template"] for post in posts}
        common = {
            name: writer.page_key(writer.versions, self.get_template(name), self.context, arguments)
            for name in templates
        }
        if self.lists_unchanged and common == self._common_keys:
            # Every key is as it was, except for these posts.
            writer.keys |= self._page_keys
            posts = self.changed_posts
            for post in posts:
                del writer.keys[post.save_as], writer.keys[_comments_feed(post)]
        self._common_keys = common
        for post in posts:
            key = post.page_key(common[post.card["template"]])
            self._page_keys[post.save_as] = self._page_keys[_comments_feed(post)] = key
            if writer.claim(post.save_as, key):
                writer.claim(_comments_feed(post), key)
                writer.written.add(_comments_feed(post))
                yield post
            else:
                writer.keys[_comments_feed(post)] = key

    def generate_tags(self, write: Callable[..., None]) -> None:
        """Write the labels' pages."""
        self._write_lists(write, "tag", self.tags.items())

    def generate_categories(self, write: Callable[..., None]) -> None:
        """Write the categories' pages."""
        self._write_lists(write, "category", self.categories)

    def generate_authors(self, write: Callable[..., None]) -> None:
        """Write the authors' pages."""
        self._write_lists(write, "author", self.authors)

    def _write_lists(self, write: Callable[..., None], kind: str, lists: Iterable[Any]) -> None:
        for wrapper, articles in lists:
            if not wrapper.save_as:
                continue
            if wrapper.save_as not in self._dates_of:
                self._dates_of[wrapper.save_as] = self._by_date(articles)
            dates = self._dates_of[wrapper.save_as]
            write(
                wrapper.save_as,
                self.get_template(kind),
                self.context,
                articles=articles,
                dates=dates,
                paginated={"articles": articles, "dates": dates},
                template_name=kind,
                blog=True,
                page_name=wrapper.page_name,
                all_articles=self.articles,
                url=wrapper.url,
                **{kind: wrapper},
            )

    def _its_writer(self) -> KeyedWriter:
        assert self.writer is not None  # noqa: S101 - set when the output is begun
        return self.writer


def _comments_feed(post: LazyPost) -> str:
    return post.comments_feed_url.lstrip("/")
