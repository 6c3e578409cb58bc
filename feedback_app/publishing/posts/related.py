"""Related posts, chosen so that no page depends on every other.

For each label of a post, in their order: the next older post with that label; three at most, without the neighbours to
which the page links anyway. All are older, so that a new post changes no page but its neighbours'.
"""

from collections.abc import Iterable

from feedback_app.publishing.posts.lazy_post import LazyPost

MAX_RELATED = 3


def set_related_posts(posts: Iterable[LazyPost]) -> None:
    """Set the related posts of every post; they come oldest first."""
    latest: dict[str, LazyPost] = {}
    second_latest: dict[str, LazyPost] = {}
    older: LazyPost | None = None
    for post in posts:
        labels = post.card.get("tags", ())
        related: list[LazyPost] = []
        for label in labels:
            # The page links to its older neighbour anyway: take the post before that one.
            other = latest.get(label) if latest.get(label) is not older else second_latest.get(label)
            if other is not None and other not in related and len(related) < MAX_RELATED:
                related.append(other)
        post.set_related(related)
        for label in dict.fromkeys(labels):
            if label in latest:
                second_latest[label] = latest[label]
            latest[label] = post
        older = post
