"""The build context: what the builds of a site by one process share, and how comments get into pages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from feedback_app.publishing.files.scan import Stamp
from feedback_app.publishing.incremental import BuildCache
from feedback_app.publishing.pelican.pieces import RememberedPieces
from feedback_app.publishing.pelican.post_index import PostIndex
from feedback_app.publishing.posts.lazy_post import LazyPost
from feedback_app.publishing.render.fragments import count_piece, data_piece, thread_piece
from feedback_app.publishing.render.machine_files import comments_data

# The build context among Pelican's settings.
BUILD = "UNDISCLOSED_BUILD"


@dataclass(slots=True)
class Build:
    """The build context. It lives as long as configuration, theme and program stay what they are."""

    store: Store
    settings: Settings
    cache: BuildCache
    # All posts, once Pelican has begun; the site's address, name and time zone.
    index: PostIndex | None = None
    site: SiteInfo | None = None
    # The published posts, by address; and from which file and version each of them was made.
    posts: dict[str, Post] = field(default_factory=dict)
    post_versions: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    # The published posts as the store knows them; None until the first build has told it.
    registered: dict[str, Post] | None = None
    # The stamps of the posts' files; and the only files that may have changed since, or None for any of them.
    stamps: dict[str, Stamp] = field(default_factory=dict)
    changed_files: Collection[Path] | None = None
    # Threads by address. As the site showed them when this build began: versions and numbers of comments.
    shown_threads: dict[str, tuple[int, int]] = field(default_factory=dict)
    # As this build shows them: versions, numbers of comments, and those that take no new comments.
    thread_versions: dict[str, int] = field(default_factory=dict)
    comment_counts: dict[str, int] = field(default_factory=dict)
    closed_threads: set[str] = field(default_factory=set)
    # Which posts have moved, so that their threads move along, and where their old addresses lead.
    moves: Moves = field(default_factory=Moves)
    # The posts of which the page in the making shows more than their cards; a page's writer empties it before.
    full_reads: set[str] = field(default_factory=set)
    pieces: RememberedPieces = field(init=False)
    # The full reads of each page, as it was last made; None until they were loaded.
    _page_full_reads: dict[str, list[str]] | None = None
    _comments: dict[str, list[ShownComment]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what refers to this object."""
        self.pieces = RememberedPieces(self.cache, self.full_reads, lambda address: self.comment_counts.get(address, 0))

    def compare_threads(self) -> set[str]:
        """Compare the store's threads with what the site shows; returns the paths of those that differ."""
        shown = self.shown_threads = self.cache.threads()
        self.pieces.start_build()
        close_old_posts(self.settings, self.store)
        with self.store.reading() as session:
            self.thread_versions = thread_versions(session)
            self.closed_threads = closed_threads(session)
            stale = {path for path, version in self.thread_versions.items() if shown.get(path, (-1, 0))[0] != version}
            self.comment_counts = {path: count for path, (_, count) in shown.items() if path in self.thread_versions}
            if stale:
                self.comment_counts |= dict.fromkeys(stale, 0) | approved_counts(session, stale)
        return stale

    # What templates show of threads.

    def comment_count(self, address: str) -> Markup:
        """Return a post's number of comments, as lists show it."""
        return count_piece(address, count_text(self.comment_counts.get(address, 0)))

    def thread(self, address: str) -> Markup:
        """Return a post's thread as its page shows it, with its data for machines."""
        assert self.site is not None  # noqa: S101 - set when Pelican started
        comments = self._comments_of(address)
        thread = thread_piece(address, thread_html(address, comments, self.site, closed=self._is_closed(address)))
        return thread + data_piece(address, comments_data(address, comments, self.site.site_url))

    def _is_closed(self, address: str) -> bool:
        """Whether a post takes no new comments; a post that the store does not know yet can only be too old."""
        if address in self.thread_versions:
            return self.moves.threads.get(address, address) in self.closed_threads
        post = self.posts.get(address)
        days = self.settings.close_after_days
        return post is not None and is_too_old(post.published_at, days=days, now=clock.now())

    def comments_feed(self, address: str) -> str:
        """Return the feed of a post's comments."""
        assert self.site is not None  # noqa: S101 - set when Pelican started
        post = self.posts[address]
        return thread_feed(post.path, post.title, post.published_at, self._comments_of(address), self.site)

    def site_comments_feed(self) -> str:
        """Return the feed of the whole blog's comments, also for posts that the store does not know yet."""
        assert self.site is not None  # noqa: S101 - set when Pelican started
        with self.store.reading() as session:
            new_paths = {old: new for new, old in self.moves.threads.items()}
            newest = newest_of(session, {**self.posts, **new_paths}, FEED_LENGTH)
        shown = [(comment, new_paths.get(path, path)) for comment, path in newest]
        entries = [
            Entry(comment, path, self.posts[path].title, self.posts[path].published_at) for comment, path in shown
        ]
        return site_feed(entries, max((post.published_at for post in self.posts.values()), default=NEVER), self.site)

    def load_comments(self, addresses: Sequence[str]) -> None:
        """Load the comments of some posts at once."""
        # A post that moves in this build still has its comments under its old path.
        paths = {address: self.moves.threads.get(address, address) for address in addresses}
        with self.store.reading() as session:
            comments = approved_comments(session, list(paths.values()))
        self._comments = {address: comments.get(path, []) for address, path in paths.items()}

    def drop_comments(self) -> None:
        """Let go of the comments that were loaded."""
        self._comments = {}

    def _comments_of(self, address: str) -> list[ShownComment]:
        if address not in self._comments:
            self.load_comments([address])
        return self._comments[address]

    # What pages were made from.

    def post_at(self, path: str) -> LazyPost | None:
        """Return the post of a file, if the file is one."""
        return self.index.posts.get(path) if self.index is not None else None

    def full_reads_of(self, page: str) -> list[str]:
        """Return the posts of which a page showed more than their cards when it was made."""
        if self._page_full_reads is None:
            self._page_full_reads = self.cache.full_reads()
        return self._page_full_reads.get(page, [])

    def update_full_reads(self, full_reads: dict[str, list[str]]) -> None:
        """Take over the full reads of the pages that this build made."""
        if self._page_full_reads is not None:
            self._page_full_reads |= full_reads

    # What the store is told of posts.

    def find_moves(self) -> None:
        """Find the posts that have moved, and count their threads as theirs."""
        with self.store.reading() as session:
            sources = {path: post.source for path, post in self.posts.items()}
            self.moves = find_moves(session, sources, self.thread_versions)
        for new, old in self.moves.threads.items():
            self.thread_versions[new] = self.thread_versions[old]
            self.comment_counts[new] = self.comment_counts.get(old, 0)

    def register_posts(self) -> None:
        """Open the threads of published posts, close all others, and hold the letters that announce new posts.

        Called once the whole site has proved good: until then the old one is live, and so are its threads.
        """
        if self.registered == self.posts:
            return
        before = self.registered
        announced = [post for post in self.posts.values() if post.announce is not None]
        if before is None and not announced:
            with self.store.reading() as session:
                if register_posts(session, self.posts.values(), dry=True) == 0:
                    self.registered = dict(self.posts)
                    return
        with self.store.writing() as session:
            move_threads(session, self.moves, self.posts)
            if before is None:
                register_posts(session, self.posts.values())
            else:
                new = [post for path, post in self.posts.items() if before.get(path) != post]
                update_posts(session, new, [path for path in before if path not in self.posts])
            if announced:
                # Most builds announce nothing, and the mailer is slow to import.
                from feedback_app.publishing.content.announcements import announce  # noqa: PLC0415

                announce(session, self.settings, announced)
        self.registered = dict(self.posts)
