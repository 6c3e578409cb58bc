"""Related posts, chosen so that a page never depends on every other.

Under each label of a post, in their order, the next older post with that label; three at most, and none that the page
leads to anyway. All are older: a new post changes no page but those beside it.
"""

from collections.abc import Iterable

from feedback_app.publishing.posts.lazy_post import LazyPost

MOST = 3


def relate(posts: Iterable[LazyPost]) -> None:
    """Give every post its `related`, as cards, and note it among what its page depends on; they come oldest first."""
    last: dict[str, LazyPost] = {}
    before_last: dict[str, LazyPost] = {}
    older: LazyPost | None = None
    for post in posts:
        labels = post.card.get("tags", ())
        found: list[LazyPost] = []
        for label in labels:
            # The older neighbour is linked anyway: the one before it, then.
            other = last.get(label) if last.get(label) is not older else before_last.get(label)
            if other is not None and other not in found and len(found) < MOST:
                found.append(other)
        post.relate(found)
        for label in dict.fromkeys(labels):
            if label in last:
                before_last[label] = last[label]
            last[label] = post
        older = post
