"""One site's builds: the store they read, what they know of it, and what they have learned on the way."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from feedback_app import clock
from feedback_app.comments.models import ShownComment
from feedback_app.comments.threads.closing import close_old_posts, is_too_old
from feedback_app.comments.threads.moved_posts import Moves, find_moves, move_threads
from feedback_app.comments.threads.public_comments import approved_comments, approved_counts, newest_of
from feedback_app.comments.threads.registry import Post, closed_threads, register_posts, thread_versions, update_posts
from feedback_app.comments.threads.renderer import (
    FEED_LENGTH,
    NEVER,
    Entry,
    SiteInfo,
    count_text,
    site_feed,
    thread_feed,
    thread_html,
)
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.publishing.files.scan import Stamp, digest
from feedback_app.publishing.incremental.cache import BuildCache, Piece
from feedback_app.publishing.incremental.lazy_post import LazyPost, words_of
from feedback_app.publishing.pelican.post_index import PostIndex
from feedback_app.publishing.render.fragments import count_piece, data_piece, thread_piece
from feedback_app.publishing.render.machine_files import comments_data

BUILD = "UNDISCLOSED_BUILD"


@dataclass(slots=True)
class Build:
    """What all builds of a site by one process share, and what the latest of them knows."""

    store: Store
    settings: Settings
    shelf: BuildCache
    library: PostIndex | None = None
    place: SiteInfo | None = None
    # The posts that are published, by their addresses.
    posts: dict[str, Post] = field(default_factory=dict)
    # What each was made of: its file, and what that says.
    made_of: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    # What the site showed of threads when the latest build began: versions and counts.
    shown: dict[str, tuple[int, int]] = field(default_factory=dict)
    # The threads' versions that the latest build began with, and how many comments each has.
    versions: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    # The threads that take no new comments.
    closed: set[str] = field(default_factory=set)
    # The files of the posts of which more than their card was asked for, since somebody emptied it.
    asked: set[str] = field(default_factory=set)
    # Pieces of lists that were made in the latest build, and those that are known from before.
    pieces: dict[str, Piece] = field(default_factory=dict)
    # The same for each page, as it was made.
    _asked_of: dict[str, list[str]] | None = None
    _known_pieces: dict[str, Piece] = field(default_factory=dict)
    announced: dict[str, Post] | None = None
    # The files that posts are in, as the latest build found them; and those alone that may have changed since, or None.
    found: dict[str, Stamp] = field(default_factory=dict)
    named: Collection[Path] | None = None
    # Where the threads of posts are that have moved, and where old addresses lead.
    moves: Moves = field(default_factory=Moves)
    _comments: dict[str, list[ShownComment]] = field(default_factory=dict)

    def begin(self) -> set[str]:
        """Ask the store which threads are not what the site shows of them; returns their paths."""
        shown = self.shown = self.shelf.threads()
        self._known_pieces |= self.pieces
        self.pieces.clear()
        close_old_posts(self.settings, self.store)
        with self.store.reading() as session:
            self.versions = thread_versions(session)
            self.closed = closed_threads(session)
            stale = {path for path, version in self.versions.items() if shown.get(path, (-1, 0))[0] != version}
            self.counts = {path: count for path, (_, count) in shown.items() if path in self.versions}
            if stale:
                self.counts |= dict.fromkeys(stale, 0) | approved_counts(session, stale)
        return stale

    def count(self, address: str) -> Markup:
        """A post's number of comments, as it stands in a list."""
        return count_piece(address, count_text(self.counts.get(address, 0)))

    def thread(self, address: str) -> Markup:
        """A post's thread, as it stands in its page, and what machines read about it."""
        assert self.place is not None  # noqa: S101 - set when Pelican started
        comments = self._of(address)
        thread = thread_piece(address, thread_html(address, comments, self.place, closed=self._is_closed(address)))
        return thread + data_piece(address, comments_data(address, comments, self.place.site_url))

    def _is_closed(self, address: str) -> bool:
        """Whether a post takes no new comments; one that the store has not heard of yet can only be too old."""
        if address in self.versions:
            return self.moves.threads.get(address, address) in self.closed
        post = self.posts.get(address)
        days = self.settings.close_after_days
        return post is not None and is_too_old(post.published_at, days=days, now=clock.now())

    def feed(self, post: LazyPost) -> str:
        """The feed of a post's comments."""
        assert self.place is not None  # noqa: S101 - set when Pelican started
        known = self.posts[post.address]
        return thread_feed(known.path, known.title, known.published_at, self._of(post.address), self.place)

    def site_feed(self) -> str:
        """The feed of the whole blog's comments, for posts that the store may not know yet."""
        assert self.place is not None  # noqa: S101 - set when Pelican started
        with self.store.reading() as session:
            now_at = {old: new for new, old in self.moves.threads.items()}
            newest = newest_of(session, {**self.posts, **now_at}, FEED_LENGTH)
        shown = [(comment, now_at.get(path, path)) for comment, path in newest]
        entries = [
            Entry(comment, path, self.posts[path].title, self.posts[path].published_at) for comment, path in shown
        ]
        return site_feed(entries, max((post.published_at for post in self.posts.values()), default=NEVER), self.place)

    def fetch(self, addresses: Sequence[str]) -> None:
        """Get the comments of some posts at once."""
        with self.store.reading() as session:
            # A post that moves in this build takes its comments along.
            places = {address: self.moves.threads.get(address, address) for address in addresses}
            found = approved_comments(session, list(places.values()))
        self._comments = {address: found.get(place, []) for address, place in places.items()}

    def drop_threads(self) -> None:
        """Let go of the comments that were fetched."""
        self._comments = {}

    def _of(self, address: str) -> list[ShownComment]:
        if address not in self._comments:
            self.fetch([address])
        return self._comments[address]

    def remember(self, articles: Iterable[Any], name: str, caller: Callable[[], Markup]) -> Markup:
        """A piece of a list that shows nothing but these posts: made once, as long as they are what they were.

        For templates: `{% call remember([article], "brief") %}…{% endcall %}`. Each piece has a name of its own.
        """
        posts = list(articles)
        if set(map(type, posts)) != {LazyPost}:
            return caller()
        place = f"{name} {len(posts) > 1} {posts[-1].path}"
        kept = self.pieces.get(place) or self._known_pieces.get(place) or self.shelf.piece(place)
        if kept is None or kept.key != self._piece_key(posts, asked=kept.asked):
            kept = self.pieces[place] = self._piece(posts, caller)
        else:
            self._known_pieces.setdefault(place, kept)
        if kept.asked:
            self.asked.update(post.path for post in posts)
        return Markup(kept.html)  # noqa: S704 - a template made it

    def listed(self, path: str) -> LazyPost | None:
        """The post that a file is, if it is one."""
        return self.library.listed.get(path) if self.library is not None else None

    def asked_of(self, name: str) -> list[str]:
        """The posts of which a page showed more than their cards when it was made."""
        if self._asked_of is None:
            self._asked_of = self.shelf.asked()
        return self._asked_of.get(name, [])

    def keep_asked(self, asked: dict[str, list[str]]) -> None:
        """Remember that of the pages that were made now."""
        if self._asked_of is not None:
            self._asked_of |= asked

    def _piece(self, posts: list[LazyPost], caller: Callable[[], Markup]) -> Piece:
        before = set(self.asked)
        self.asked.clear()
        html, asked = str(caller()), bool(self.asked)
        self.asked |= before
        return Piece(asked, self._piece_key(posts, asked=asked), html)

    def _piece_key(self, posts: list[LazyPost], *, asked: bool) -> bytes:
        keys = [post.own_key if asked else post.face for post in posts]
        # In full where it is short: a label can have a thousand posts.
        parts = [b"%d %b" % (self.counts.get(post.address, 0), key) for post, key in zip(posts, keys, strict=True)]
        return parts[0] if len(parts) == 1 else digest(*parts)

    def find_moves(self) -> None:
        """See which posts have moved, and bring what is known of their threads along."""
        with self.store.reading() as session:
            self.moves = find_moves(session, {path: post.source for path, post in self.posts.items()}, self.versions)
        for new, old in self.moves.threads.items():
            self.versions[new] = self.versions[old]
            self.counts[new] = self.counts.get(old, 0)

    def announce(self) -> None:
        """Open the threads of the posts that are published, close the others; hold the letters that tell of new ones.

        Not before the whole site is known to be good: until then the old one is live, and so are its threads.
        """
        if self.announced == self.posts:
            return
        before = self.announced
        told = [post for post in self.posts.values() if post.announce is not None]
        if before is None and not told:
            with self.store.reading() as session:
                if register_posts(session, self.posts.values(), dry=True) == 0:
                    self.announced = dict(self.posts)
                    return
        with self.store.writing() as session:
            move_threads(session, self.moves, self.posts)
            if before is None:
                register_posts(session, self.posts.values())
            else:
                new = [post for path, post in self.posts.items() if before.get(path) != post]
                update_posts(session, new, [path for path in before if path not in self.posts])
            if told:
                from feedback_app.publishing.content.announcements import announce  # noqa: PLC0415 - most builds tell nobody

                announce(session, self.settings, told)
        self.announced = dict(self.posts)


def source_of(article: Any, content: Path) -> str:  # noqa: ANN401 - Pelican's article, or a listed one
    """A post's file, from the content folder on."""
    return str(article.source_path).removeprefix(f"{content}/")


def post_of(article: Any, content: Path) -> Post:  # noqa: ANN401 - Pelican's article, or a listed one
    """What a thread needs to know of its post."""
    # Pelican's own datetime class adds strftime's codes; the store wants a plain one, and compares its own with ours.
    at = article.card["at"] if isinstance(article, LazyPost) else article.date.timestamp()
    moment = datetime.fromtimestamp(at, tz=UTC)
    return Post(
        f"/{article.url}",
        str(article.title),
        moment,
        source=source_of(article, content),
        announce=words_of(article),
    )
