"""A post as lists know it: light, and the whole article when a template asks for more."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup
from pelican.contents import Article, Author, Category, Tag
from pelican.utils import SafeDatetime

from feedback_app.comments.threads.renderer import feed_path, form_url

# Never asked of the whole article: a lazy post has these by itself, or not at all.
_OWN = frozenset({"newer", "older", "thread", "comment_count"})


@dataclass(slots=True)
class PostLoader:
    """Where a lazy post gets what it does not hold itself."""

    settings: dict[str, Any]
    # By the path of the post's file: the whole article; its HTML as pages show it, if that is in the cache.
    article: Callable[[str], Article]
    page_text: Callable[[str], str | None]
    # By the post's address.
    comment_count: Callable[[str], Markup]
    thread: Callable[[str], Markup]
    # The paths of the posts of which more than their cards was shown since this set was last emptied.
    full_reads: set[str]
    # One object for each name: making one works out its slug.
    zones: dict[str, ZoneInfo] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    authors: dict[str, Author] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)

    def zone(self, name: str) -> ZoneInfo:
        """Return a time zone."""
        return self.zones.get(name) or self.zones.setdefault(name, ZoneInfo(name))

    def tag(self, name: str) -> Tag:
        """Return a label."""
        return self.tags.get(name) or self.tags.setdefault(name, Tag(name, self.settings))

    def author(self, name: str) -> Author:
        """Return an author."""
        return self.authors.get(name) or self.authors.setdefault(name, Author(name, self.settings))

    def category(self, name: str) -> Category:
        """Return a category."""
        return self.categories.get(name) or self.categories.setdefault(name, Category(name, self.settings))


class LazyPost:
    """A post in a list. What its card does not hold is asked of the whole article, which is loaded then.

    `card_digest` changes with its card; `version` changes with everything that its own file says, and with what its
    text shows of other files. When a template shows more than the card, `loader.full_reads` notes it.
    """

    def __init__(
        self, path: str, card: dict[str, Any], card_digest: bytes, file_digest: bytes, loader: PostLoader
    ) -> None:
        """Unpack a card."""
        self.path = path
        self.card = card
        self.card_digest = card_digest
        self.file_digest = file_digest
        self.loader = loader
        self.title: str = card["title"]
        self.url: str = card["url"]
        self.save_as: str = card["save_as"]
        self.slug: str = card["slug"]
        self.status: str = card["status"]
        self.locale_date: str = card["locale_date"]
        date = SafeDatetime.fromisoformat(card["date"])
        self.date = date if date.tzinfo else date.replace(tzinfo=loader.zone(card["timezone"]))
        self.sort_key = (card["at"], card["slug"], path)
        self.address = "/" + self.url
        # What plugins say in this build, and said in the one before, that the post's page depends on.
        self.edges: list[Any] = []
        self.previous_edges: list[Any] = []
        self._related_keys = ""
        self._related: list[PostReference] = []
        # Whether this is a draft's or a hidden post's page, reachable only by its private link.
        self.preview = False
        self.version = file_digest
        self.translations: list[Any] = []
        # All that a page can show of this post through a PostReference.
        self.reference_key = repr(
            (self.title, self.url, self.slug, card["date"], card["timezone"], card.get("tags"), self.locale_date)
        )
        self._article: Article | None = None
        # The version and the edges for which the content key was computed, and the key.
        self._content_key: tuple[bytes, list[Any], bytes] | None = None
        self._newer: LazyPost | None = None
        self._older: LazyPost | None = None
        if "tags" in card:
            self.tags = [loader.tag(name) for name in card["tags"]]
        self.announce: str | None = card.get("announce")
        if "summary" in card:
            self.summary: str = card["summary"]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - an article's attribute can be anything
        """Look an attribute up in the card, or else in the whole article."""
        if name.startswith("__"):
            raise AttributeError(name)
        if name in {"lang", "template", "timezone"}:
            return self.card[name]
        if name in {"author", "category"} and name in self.card:
            return self.loader.author(self.card[name]) if name == "author" else self.loader.category(self.card[name])
        if name == "picture":
            return self.card.get("picture")
        # The card has each of these that the post has.
        if name in {"author", "category", "modified", "tags"} - self.card.keys() or name in _OWN:
            raise AttributeError(name)
        self.loader.full_reads.add(self.path)
        if name == "content" and (text := self.loader.page_text(self.path)) is not None:
            return text
        return getattr(self._whole_article(), name)

    def _whole_article(self) -> Article:
        if self._article is None:
            self._article = self.loader.article(self.path)
        return self._article

    def __str__(self) -> str:
        """Return the post's file, as Pelican's articles do."""
        return str(self.card["source_path"])

    @property
    def source_path(self) -> str:
        """The post's file."""
        return str(self.card["source_path"])

    @property
    def newer(self) -> "PostReference | None":
        """The post that was published next."""
        self.loader.full_reads.add(self.path)
        return PostReference(self._newer) if self._newer else None

    @property
    def older(self) -> "PostReference | None":
        """The post that was published before."""
        self.loader.full_reads.add(self.path)
        return PostReference(self._older) if self._older else None

    @property
    def related(self) -> "list[PostReference]":
        """Posts about the same things."""
        self.loader.full_reads.add(self.path)
        return self._related

    def clear_neighbours(self) -> None:
        """Forget the newer, the older and the related posts."""
        self._newer = self._older = self._content_key = None
        self._related, self._related_keys = [], ""

    def set_older(self, older: "LazyPost") -> None:
        """Make this post and an older one neighbours."""
        self._older, older._newer = older, self  # noqa: SLF001 - another object of this class

    def set_related(self, others: "list[LazyPost]") -> None:
        """Set the related posts."""
        self._related = [PostReference(other) for other in others]
        self._related_keys = "\0".join([other.reference_key for other in others])

    @property
    def comment_count(self) -> Markup:
        """The number of comments, as lists show it."""
        return self.loader.comment_count(self.address)

    @property
    def thread(self) -> Markup:
        """The post's thread."""
        return self.loader.thread(self.address)

    def get_content(self, site_url: str) -> str:
        """Return the HTML with its links to other files of the content resolved, as Pelican's feeds ask for it."""
        self.loader.full_reads.add(self.path)
        text = self.loader.page_text(self.path)
        return str(self._whole_article().get_content(site_url)) if text is None else text

    @property
    def comment_form_url(self) -> str:
        """The address of the comment form."""
        return form_url(self.address)

    @property
    def comments_feed_url(self) -> str:
        """The address of the feed of its comments."""
        return feed_path(self.address)

    def page_key(self, common: bytes) -> bytes:
        """Return the key of the post's page; `common` is the key of what all posts' pages show."""
        # `common` and the content key have one length each, so that no separator is needed.
        return blake2b(common + self.content_key + self.save_as.encode(), digest_size=len(common)).digest()

    @property
    def content_key(self) -> bytes:
        """The key of what the post itself puts into its page: its version, its neighbours, its edges."""
        cached = self._content_key
        if cached is None or cached[0] != self.version or cached[1] != self.edges:
            newer = self._newer.reference_key if self._newer else ""
            older = self._older.reference_key if self._older else ""
            edges = f"{self._related_keys}\0{self.edges}" if self.edges else self._related_keys
            shown = f"{newer}\0{older}\0{edges}".encode()
            key = blake2b(self.version + shown, digest_size=len(self.version)).digest()
            cached = self._content_key = self.version, [*self.edges], key
        return cached[2]

    def set_file_digest(self, file_digest: bytes) -> None:
        """Take over a change of the text that leaves the card as it was."""
        self.file_digest = self.version = file_digest
        self.unload()

    def unload(self) -> None:
        """Let go of the whole article: it is loaded again when it is needed."""
        self._article = None


class PostReference:
    """What a post's page may show of another post."""

    __slots__ = ("_post",)
    SHOWN = frozenset({"title", "url", "slug", "date", "tags", "locale_date"})

    def __init__(self, post: LazyPost) -> None:
        """Refer to a post."""
        self._post = post

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - one of SHOWN
        """Return one of SHOWN. More would make the page depend on more than `reference_key` holds."""
        if name in self.SHOWN:
            return getattr(self._post, name)
        raise AttributeError(name)


@dataclass(frozen=True, slots=True)
class Month:
    """A month in which posts were published, the newest post first."""

    year: int
    month: int
    name: str
    url: str
    articles: list[Any]
