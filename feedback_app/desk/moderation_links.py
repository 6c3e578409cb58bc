"""Links in letters about waiting comments: each is for one comment and one decision. GET shows, POST acts."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.audit_log import new_batch
from feedback_app.comments.decisions import Decision
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.moderation import decide_as
from feedback_app.db.base import LARGEST_INTEGER
from feedback_app.security.tokens import BadToken, ExpiredToken, Purpose
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm
from feedback_app.web.headers import keep_private

ACTOR = "a letter's link"
CHANGED = "The comment has been changed since you opened this page. Look at it again."
TOO_LATE = "This page had been open too long, or your browser keeps no cookies. Press once more."

letter_links = Blueprint("letter_links", __name__, url_prefix="/feedback/moderate")
letter_links.after_request(keep_private)


@letter_links.route("/<token>", methods=["GET", "POST"])
def moderate(token: str) -> ResponseReturnValue:
    """Show the comment, and decide on it if it still waits and has not changed since it was shown."""
    try:
        claim = app_state().signer.read(token, Purpose.MODERATE, now=clock.now())
    except BadToken as error:
        return _bad_link(expired=isinstance(error, ExpiredToken))
    decision = Decision.of(claim.about)
    with app_state().store.reading() as session:
        found = _find_comment(session, claim.person)
    if decision is None or found is None:
        return _bad_link(expired=False)
    return _answer(decision, *found)


def _answer(decision: Decision, comment: Comment, thread: Thread) -> ResponseReturnValue:
    form = ButtonForm()
    page = {"comment": comment, "thread": thread, "decision": decision, "form": form, "problem": None}
    if comment.status is not CommentStatus.PENDING:
        return render_template("desk/waits_no_more.html", **page)
    if request.method != "POST":
        return render_template("desk/moderate.html", **page)
    if not form.validate():
        return render_template("desk/moderate.html", **page | {"problem": TOO_LATE}), 400
    if not _decide(comment.id, decision):
        return render_template("desk/moderate.html", **page | {"problem": CHANGED}), 409
    return render_template("desk/moderated.html", **page)


@letter_links.get("/")
def cut_link() -> ResponseReturnValue:
    """Answer a link whose token a mail program cut off."""
    return _bad_link(expired=False)


def _decide(number: int, decision: Decision) -> bool:
    """Decide, unless the comment changed or was decided since it was shown; return whether it was decided."""
    with app_state().store.writing() as session:
        comment = session.get(Comment, number, with_for_update=True)
        waits = comment is not None and comment.status is CommentStatus.PENDING
        if comment is None or not waits or comment.changed_at.isoformat() != request.form.get("seen", ""):
            return False
        decide_as(session, [number], decision, who=ACTOR, now=clock.now(), batch=new_batch())
    return True


def _find_comment(session: Session, number: int) -> tuple[Comment, Thread] | None:
    comment = session.get(Comment, number) if number <= LARGEST_INTEGER else None
    return (comment, session.get_one(Thread, comment.thread_id)) if comment else None


def _bad_link(*, expired: bool) -> ResponseReturnValue:
    return render_template("desk/bad_link.html", expired=expired), 404
