"""Pieces of lists that templates have remembered: `{% call remember([article], "brief") %}…{% endcall %}`."""

from collections.abc import Callable, Iterable
from typing import Any

from markupsafe import Markup

from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.incremental import BuildCache, ListPiece
from feedback_app.publishing.posts.lazy_post import LazyPost


class RememberedPieces:
    """Pieces that show nothing but some posts: rendered once, as long as these posts are what they were."""

    def __init__(self, cache: BuildCache, full_reads: set[str], comment_counts: Callable[[str], int]) -> None:
        """`full_reads` are the posts of which the page in the making shows more than cards."""
        self._cache = cache
        self._full_reads = full_reads
        self._comment_counts = comment_counts
        # Made in this build, still to be saved; and those of earlier builds.
        self.new: dict[str, ListPiece] = {}
        self._old: dict[str, ListPiece] = {}

    def start_build(self) -> None:
        """Count the new pieces of the build before among the old ones."""
        self._old |= self.new
        self.new.clear()

    def remember(self, articles: Iterable[Any], name: str, caller: Callable[[], Markup]) -> Markup:
        """Return what a template's `call` block renders, from the cache where these posts have not changed.

        `name` tells the pieces of one post apart; each block has a name of its own.
        """
        posts = list(articles)
        if set(map(type, posts)) != {LazyPost}:
            return caller()
        full_name = f"{name} {len(posts) > 1} {posts[-1].path}"
        piece = self.new.get(full_name) or self._old.get(full_name) or self._cache.piece(full_name)
        if piece is None or piece.key != self._key(posts, full=piece.reads_full_posts):
            piece = self.new[full_name] = self._render(posts, caller)
        else:
            self._old.setdefault(full_name, piece)
        if piece.reads_full_posts:
            self._full_reads.update(post.path for post in posts)
        return Markup(piece.html)  # noqa: S704 - a template made it

    def _render(self, posts: list[LazyPost], caller: Callable[[], Markup]) -> ListPiece:
        before = set(self._full_reads)
        self._full_reads.clear()
        html, reads_full_posts = str(caller()), bool(self._full_reads)
        self._full_reads |= before
        return ListPiece(reads_full_posts, self._key(posts, full=reads_full_posts), html)

    def _key(self, posts: list[LazyPost], *, full: bool) -> bytes:
        keys = [post.content_key if full else post.card_digest for post in posts]
        parts = [b"%d %b" % (self._comment_counts(post.address), key) for post, key in zip(posts, keys, strict=True)]
        # A label can have a thousand posts.
        return parts[0] if len(parts) == 1 else digest(*parts)
