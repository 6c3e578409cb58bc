"""The comment form's page."""

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.comments.forms import CommentForm
from feedback_app.comments.markup import comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.rendering import form_url
from feedback_app.comments.services import find_parent, find_thread, post_comment
from feedback_app.web import forged, house, keep_private

MOST_REMEMBERED = 20
LONGEST_NUMBER = 15
TOO_LATE = (
    "This form had been open too long, or your browser keeps no cookies. Your words are still here: send them again."
)

comments = Blueprint("comments", __name__, url_prefix="/feedback/comments")
comments.after_request(keep_private)


@comments.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Show the form; preview; post."""
    form = CommentForm()
    with house().store.reading() as reading:
        thread = find_thread(reading, request.args.get("post", ""))
        parent = _parent(reading, thread) if thread else None
    if thread is None:
        return render_template("comments/no_post.html", text=form.body.data), 404
    if "parent" in request.args and parent is None:
        return _page(
            form, thread, None, problem="The comment you wanted to answer is gone. Yours can stand on its own."
        ), 404
    if request.method != "POST":
        return _page(form, thread, parent)
    if not form.validate():
        return _page(form, thread, parent, problem=TOO_LATE if forged(form) else None), 400
    if request.form.get("action") == "preview":
        preview = Markup(comment_html(form.body.data))  # noqa: S704 - the gate's own output
        return _page(form, thread, parent, preview=preview)
    return _post(form, thread, parent)


@comments.get("/received")
def received() -> ResponseReturnValue:
    """Say what happens to a comment that was posted."""
    with house().store.reading() as reading:
        thread = find_thread(reading, request.args.get("post", ""))
    if thread is None:
        return render_template("comments/no_post.html", text=None), 404
    return render_template("comments/received.html", thread=thread, waits=request.args.get("waits") == "yes")


def _parent(reading: Session, thread: Thread) -> Comment | None:
    number = request.args.get("parent", "")
    if not number.isascii() or not number.isdigit() or len(number) > LONGEST_NUMBER:
        return None
    return find_parent(reading, thread, int(number))


def _page(
    form: CommentForm,
    thread: Thread,
    parent: Comment | None,
    *,
    preview: Markup | None = None,
    problem: str | None = None,
) -> str:
    return render_template(
        "comments/new.html",
        form=form,
        # An answer to what is gone becomes a comment of its own.
        action=form_url(thread.path, parent.id if parent else None),
        thread=thread,
        parent=parent,
        preview=preview,
        problem=problem,
    )


def _post(form: CommentForm, thread: Thread, parent: Comment | None) -> ResponseReturnValue:
    mine: list[int] = session.get("comments", [])
    with house().store.writing() as writing:
        comment = post_comment(
            writing,
            thread,
            author=form.author.data,
            text=form.body.data,
            address=form.address,
            parent=parent,
            moderation=house().settings.moderation,
            earlier=mine,
            now=clock.now(),
        )
    session["comments"] = [*mine, comment.id][-MOST_REMEMBERED:]
    waits = "yes" if comment.status is CommentStatus.PENDING else "no"
    return redirect(url_for("comments.received", post=thread.path, waits=waits), code=303)
