"""Comments taken back by their authors: the words are gone, and the owner cannot act on them any more."""

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import select

from feedback_app.cli import undisclosed
from feedback_app.comments.author_edits import delete_comment
from feedback_app.comments.decisions import Decision
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.config import Moderation, Settings
from feedback_app.console import Context
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.comments import OPPS, comment_of, publish, say, set_status
from tests.support.signing_in import ADMIN, fill, token


def take_back(store: Store) -> Comment:
    """A comment that its author took back."""
    comment = say(store, "I wish I had not said this.")
    with store.writing() as session:
        delete_comment(session, session.get_one(Comment, comment.id), now=OPPS_DAY)
    return comment


@pytest.mark.parametrize("verb", ["approve", "reject", "spam"])
def test_a_comment_taken_back_cannot_be_decided_on(
    at_work: FlaskClient, store: Store, settings: Settings, verb: str
) -> None:
    publish(store, OPPS)
    gone, waits = take_back(store), say(store, moderation=Moderation.ALL)
    context = Context()
    context.__dict__["settings"] = settings

    def command(*which: Comment) -> tuple[int, str]:
        done = CliRunner().invoke(undisclosed, ["comments", verb, *(str(one.id) for one in which)], obj=context)
        return done.exit_code, done.output

    code, said = command(gone)
    assert code == 1
    assert f"Comment {gone.id} was left alone: its author took it back, and its words are gone." in said
    code, said = command(gone, waits)
    assert (code, said[:10]) == (0, "1 comment ")
    assert f"Comment {gone.id} was left alone" in said
    page = fill(at_work, f"{ADMIN}/?state=any", only=f"{verb} {gone.id}")
    assert (
        f"0 comments: {Decision(verb).status}. Comment {gone.id} was left alone: its author took it back" in page.text
    )
    page = fill(at_work, f"{ADMIN}/?state=any", action=verb, comment=[str(gone.id), str(waits.id)])
    assert f"1 had been already. Comment {gone.id} was left alone" in page.text
    assert (comment_of(store, gone.id).status, comment_of(store, gone.id).text) == (CommentStatus.DELETED, "")


def test_the_owners_pages_have_no_buttons_for_a_comment_taken_back(at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS)
    gone = take_back(store)
    other = say(store, "Deleted by the shop, which can think again.")
    set_status(store, CommentStatus.DELETED, other)
    path = f"{ADMIN}/comments/{gone.id}"
    for page in (at_work.get(f"{ADMIN}/?state=deleted").text, at_work.get(path).text):
        assert f'value="approve {gone.id}"' not in page
        assert f'value="spam {gone.id}"' not in page
        assert "author took it back" in page
    assert f'value="approve {other.id}"' in at_work.get(f"{ADMIN}/?state=deleted").text
    assert "<textarea" not in at_work.get(path).text
    key = token(at_work.get(f"{ADMIN}/posts").text)
    for what in ("edit", "answer"):
        words = {"csrf_token": key, "author": "Mongrel Socks", "body": "Typed at length."}
        answer = at_work.post(f"{path}/{what}", data=words)
        assert answer.status_code == 409
        assert "Typed at length." in answer.text
        assert "its author took it back" in answer.text.lower()
    with store.reading() as session:
        assert [(one.status, one.text) for one in session.scalars(select(Comment).order_by(Comment.id))] == [
            (CommentStatus.DELETED, ""),
            (CommentStatus.DELETED, other.text),
        ]
