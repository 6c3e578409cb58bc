"""People talking below posts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.posting import post_comment, prepare_text
from feedback_app.comments.services import change_status
from feedback_app.comments.spam.verdicts import Evidence, Rules
from feedback_app.comments.threads.registry import Post, find_thread, register_posts
from feedback_app.config import Moderation
from feedback_app.customers.addresses import Address
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY

OPPS = Post("/2007/10/opps.html", "Opps!", OPPS_DAY)
BISCUIT = Post("/2007/06/biscuit.html", "Biscuit, after whom", OPPS_DAY - timedelta(days=111))


def publish(store: Store, *posts: Post) -> None:
    """Publish these posts, and no others."""
    with store.writing() as session:
        register_posts(session, posts)


def thread_of(store: Store, post: Post = OPPS) -> Thread:
    """A post's thread as it stands."""
    with store.reading() as session:
        thread = find_thread(session, post.path)
    assert thread
    return thread


def say(
    store: Store,
    text: str = "Use Bcc, friends.",
    *,
    author: str = "Nora",
    post: str = OPPS.path,
    parent: Comment | None = None,
    moderation: Moderation = Moderation.NONE,
    earlier: list[int] | None = None,
    address: str | None = None,
    now: datetime = OPPS_DAY,
    notify: bool = False,
    proven: Sequence[int] = (),
) -> Comment:
    """Somebody says something, and it is shown at once unless said otherwise."""
    with store.writing() as session:
        thread = find_thread(session, post)
        assert thread, f"{post} is not published"
        posted = post_comment(
            session,
            thread.id,
            prepare_text(author, text, Rules(moderation)),
            address=Address.parse(address) if address else None,
            parent=parent,
            rules=Rules(moderation),
            evidence=Evidence(earlier or []),
            now=now,
            notify=notify,
            proven=proven,
        )
        return session.get_one(Comment, posted.id)


def set_status(store: Store, status: CommentStatus, *comments: Comment, now: datetime = OPPS_DAY) -> int:
    """The shop decides; returns how many had another status."""
    with store.writing() as session:
        return change_status(session, [comment.id for comment in comments], status, now=now)


def comment_of(store: Store, number: int) -> Comment:
    with store.reading() as session:
        return session.get_one(Comment, number)
