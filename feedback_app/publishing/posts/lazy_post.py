"""A post as lists know it: light, and the whole article when somebody asks for more."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup
from pelican.contents import Article, Author, Category, Tag
from pelican.utils import SafeDatetime

from feedback_app.comments.threads.renderer import feed_path, form_url

# What a card holds as it is; the rest is made of it.
_PLAIN = ("title", "url", "save_as", "slug", "status", "lang", "locale_date", "source_path", "template", "timezone")
# What says in a head that a post is to be announced, and how much of its summary is said then.
_YES = frozenset({"yes", "true", "1"})
_LONGEST_SUMMARY = 600
# What a listed post has without its card, or not at all.
_GIVEN = frozenset({"newer", "older", "thread", "comment_count"})


class LazyPost:
    """A post in a list. What is not known of it here is asked of the whole article, which is loaded then.

    `version` changes with everything that the post's own file says, or that its text shows of others'; `face` with what
    its card says. Whoever asks for more than a card is noticed by `makers.asked`.
    """

    def __init__(self, path: str, card: dict[str, Any], face: bytes, known: bytes, makers: "Makers") -> None:
        """Unpack a card."""
        self.path = path
        self.card = card
        self.face = face
        self.known = known
        self.makers = makers
        self.title: str = card["title"]
        self.url: str = card["url"]
        self.save_as: str = card["save_as"]
        self.slug: str = card["slug"]
        self.status: str = card["status"]
        self.locale_date: str = card["locale_date"]
        date = SafeDatetime.fromisoformat(card["date"])
        self.date = date if date.tzinfo else date.replace(tzinfo=makers.zone(card["timezone"]))
        self.order = (card["at"], card["slug"], path)
        self.address = "/" + self.url
        # What plugins say that its page depends on, in each build, and what they said in the one before; and its own.
        self.edges: list[Any] = []
        self.edges_before: list[Any] = []
        self._own_edges = ""
        self._related: list[Card] = []
        # Not published, and shown to those only who were given its link.
        self.preview = False
        self.version = known
        self.translations: list[Any] = []
        self.front = repr(
            (self.title, self.url, self.slug, card["date"], card["timezone"], card.get("tags"), self.locale_date)
        )
        self._article: Article | None = None
        self._own_key: tuple[bytes, list[Any], bytes] | None = None
        self._newer: LazyPost | None = None
        self._older: LazyPost | None = None
        if "tags" in card:
            self.tags = [makers.tag(name) for name in card["tags"]]
        self.announce: str | None = card.get("announce")
        if "summary" in card:
            self.summary: str = card["summary"]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever an article has
        """What only the whole article knows."""
        if name.startswith("__"):
            raise AttributeError(name)
        if name in {"lang", "template", "timezone"}:
            return self.card[name]
        if name in {"author", "category"} and name in self.card:
            return self.makers.author(self.card[name]) if name == "author" else self.makers.category(self.card[name])
        if name == "picture":
            return self.card.get("picture")
        # What a post has of these, its card has.
        if name in {"author", "category", "modified", "tags"} - self.card.keys() or name in _GIVEN:
            raise AttributeError(name)
        self.makers.asked.add(self.path)
        if name == "content" and (shown := self.makers.shown(self.path)) is not None:
            return shown
        return getattr(self._whole(), name)

    def _whole(self) -> Article:
        if self._article is None:
            self._article = self.makers.article(self.path)
        return self._article

    def __str__(self) -> str:
        """The post's file, as Pelican's articles say it."""
        return str(self.card["source_path"])

    @property
    def source_path(self) -> str:
        """The post's file."""
        return str(self.card["source_path"])

    @property
    def newer(self) -> "Card | None":
        """The post that was published next."""
        self.makers.asked.add(self.path)
        return Card.of(self._newer)

    @property
    def older(self) -> "Card | None":
        """The post that was published before."""
        self.makers.asked.add(self.path)
        return Card.of(self._older)

    @property
    def related(self) -> "list[Card]":
        """Posts that are like this one."""
        self.makers.asked.add(self.path)
        return self._related

    def stand_alone(self) -> None:
        """Forget which posts are beside it and which are like it."""
        self._newer = self._older = self._own_key = None
        self._related, self._own_edges = [], ""

    def relate(self, others: "list[LazyPost]") -> None:
        """Say which posts are like this one."""
        self._related = [Card(other) for other in others]
        self._own_edges = "\0".join([other.front for other in others])

    @property
    def comment_count(self) -> Markup:
        """How many comments there are, as it stands in a list."""
        return self.makers.count(self.address)

    @property
    def thread(self) -> Markup:
        """The post's thread."""
        return self.makers.thread(self.address)

    def get_content(self, site_url: str) -> str:
        """The text with its links to the site's other files as Pelican's feeds want them."""
        self.makers.asked.add(self.path)
        shown = self.makers.shown(self.path)
        return str(self._whole().get_content(site_url)) if shown is None else shown

    @property
    def comment_form_url(self) -> str:
        """Where the form for a comment is."""
        return form_url(self.address)

    @property
    def comments_feed_url(self) -> str:
        """Where the feed of its comments is."""
        return feed_path(self.address)

    def page_key(self, common: bytes) -> bytes:
        """What its page is made of, with what all pages show."""
        # Parts that are always of one length need nothing between them.
        return blake2b(common + self.own_key + self.save_as.encode(), digest_size=len(common)).digest()

    @property
    def own_key(self) -> bytes:
        """What its own page is made of: itself, and what it shows of others."""
        known = self._own_key
        if known is None or known[0] != self.version or known[1] != self.edges:
            made = blake2b(self.version + self._beside(), digest_size=len(self.version)).digest()
            known = self._own_key = self.version, [*self.edges], made
        return known[2]

    def _beside(self) -> bytes:
        newer = self._newer.front if self._newer else ""
        older = self._older.front if self._older else ""
        return f"{newer}\0{older}\0{self._all_edges()}".encode()

    def _all_edges(self) -> str:
        return f"{self._own_edges}\0{self.edges}" if self.edges else self._own_edges

    def renew(self, known: bytes) -> None:
        """Its text is another; all that its card says is as it was."""
        self.known = self.version = known
        self.put_away()

    def put_away(self) -> None:
        """Forget the whole article: it is loaded again when it is needed."""
        self._article = None


@dataclass(slots=True)
class Makers:
    """Who makes what a listed post only refers to."""

    settings: dict[str, Any]
    article: Callable[[str], Article]
    shown: Callable[[str], str | None]
    count: Callable[[str], Markup]
    thread: Callable[[str], Markup]
    # The files of the posts of which more than their card was asked for, since somebody emptied it.
    asked: set[str]
    zones: dict[str, ZoneInfo] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    authors: dict[str, Author] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)

    def zone(self, name: str) -> ZoneInfo:
        """A time zone, one object for each."""
        return self.zones.get(name) or self.zones.setdefault(name, ZoneInfo(name))

    def tag(self, name: str) -> Tag:
        """A label, one object for each name."""
        return self.tags.get(name) or self.tags.setdefault(name, Tag(name, self.settings))

    def author(self, name: str) -> Author:
        """An author, one object for each name."""
        return self.authors.get(name) or self.authors.setdefault(name, Author(name, self.settings))

    def category(self, name: str) -> Category:
        """A category, one object for each name."""
        return self.categories.get(name) or self.categories.setdefault(name, Category(name, self.settings))


class Card:
    """What a post's page may show of another post."""

    __slots__ = ("_post",)
    SHOWN = frozenset({"title", "url", "slug", "date", "tags", "locale_date"})

    def __init__(self, post: LazyPost) -> None:
        """A card of a post."""
        self._post = post

    @classmethod
    def of(cls, post: LazyPost | None) -> "Card | None":
        """A card of a post, if there is one."""
        return cls(post) if post else None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - one of what is shown
        """One of what is shown; the rest would make every page depend on more than it says."""
        if name in self.SHOWN:
            return getattr(self._post, name)
        raise AttributeError(name)


@dataclass(frozen=True, slots=True)
class Month:
    """A month in which something was published, newest post first."""

    year: int
    month: int
    name: str
    url: str
    articles: list[Any]


def words_of(article: Any) -> str | None:  # noqa: ANN401 - Pelican's article has no type
    """The summary with which a post is announced, in plain words; None when its head does not ask for it."""
    if str(getattr(article, "announce", None)).strip().lower() not in _YES or article.status != "published":
        return None
    # Not for a page: what is left of it has no tags.
    return " ".join(Markup(str(article.summary)).striptags().split())[:_LONGEST_SUMMARY]  # noqa: S704


def card_of(article: Article, links: list[list[str]]) -> dict[str, Any]:
    """What lists show of a post, as plain data."""
    card: dict[str, Any] = {name: str(getattr(article, name)) for name in _PLAIN}
    card["at"] = article.date.timestamp()
    # A time in the shop's own zone is kept as the clock on the wall shows it.
    own = isinstance(article.date.tzinfo, ZoneInfo)
    card["date"] = (article.date.replace(tzinfo=None) if own else article.date).isoformat()
    if hasattr(article, "author"):
        card["author"] = article.author.name
    if hasattr(article, "tags"):
        card["tags"] = [tag.name for tag in article.tags]
    card |= {name: article.metadata[name] for name in ("announce", "brings", "picture") if article.metadata.get(name)}
    if links:
        card["links"] = links
    elif isinstance(article.metadata.get("summary"), str):
        card["summary"] = article.metadata["summary"]
    if article.metadata.get("reads"):
        reads = article.metadata["reads"]
        card["reads"] = [reads] if isinstance(reads, str) else [str(item) for item in reads]
    if hasattr(article, "modified"):
        card["modified"] = article.modified.isoformat()
    if hasattr(article, "category") and isinstance(article.category, Category):
        card["category"] = article.category.name
    # A date that is still to come makes a post a draft until then.
    if article.date > datetime.now(tz=article.date.tzinfo):
        card["awaited"] = True
    return card
