"""One's own comments: changing and deleting them, and being told about answers, by cookie or by a mailed link."""

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from limits import parse
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.comments import notifications
from feedback_app.comments.author_edits import (
    change_comment,
    comments_of_customer,
    delete_comment,
    is_other_text,
    may_change,
    request_comments_link,
    sent_and_changeable,
)
from feedback_app.comments.forms import ChangeForm, MailLinkForm
from feedback_app.comments.models import CHANGEABLE, Comment, Following, Thread
from feedback_app.comments.spam.verdicts import Evidence
from feedback_app.comments.views import LATE, TOO_MUCH, admits_network, rules, service_says, too_late
from feedback_app.config import Switch
from feedback_app.customers.models import Customer
from feedback_app.customers.services import address_of
from feedback_app.security.tokens import BadToken, Claim, Purpose
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm, csrf_failed, parse_number
from feedback_app.web.headers import keep_private

LINK_LIMIT = parse("10/hour")
MOST_PROVEN = 5
ONCE_MORE = f"{LATE} Press once more."

own_comments = Blueprint("own_comments", __name__, url_prefix="/feedback/comments")
own_comments.after_request(keep_private)


@own_comments.route("/mine", methods=["GET", "POST"])
def mine() -> ResponseReturnValue:
    """This browser's comments that can still be changed; for older ones, a link by mail."""
    form = MailLinkForm()
    now = clock.now()
    with app_state().store.reading() as reading:
        comments = sent_and_changeable(reading, session.get("comments", []), now=now)
    page = {"form": form, "comments": comments, "token": None}
    if request.method != "POST":
        return render_template("comments/mine.html", **page, problem=None)
    if not form.validate():
        return render_template("comments/mine.html", **page, problem=too_late() if csrf_failed(form) else None), 400
    if not app_state().limits.admit(LINK_LIMIT, "own link", app_state().limits.client_network_hash()):
        return render_template("comments/mine.html", **page, problem=TOO_MUCH), 429, {"Retry-After": "600"}
    with app_state().store.writing() as writing:
        quiet = app_state().settings.rate_limits is Switch.ON
        request_comments_link(writing, form.email.typed, now=now, quiet=quiet)
    return redirect(url_for("own_comments.link_asked"), code=303)


@own_comments.get("/mine/asked")
def link_asked() -> ResponseReturnValue:
    """Say what comes next, without saying whether the address is known."""
    return render_template("comments/link_asked.html")


@own_comments.get("/yours/<token>")
def yours(token: str) -> ResponseReturnValue:
    """The comments that came with an address, for whoever has the link that was mailed to it."""
    claim = _claim(token, Purpose.OWN_COMMENTS)
    if claim is None:
        return _bad_link()
    with app_state().store.reading() as reading:
        comments = comments_of_customer(reading, claim.person)
    return render_template("comments/mine.html", form=None, comments=comments, token=token, problem=None)


@own_comments.route("/change", methods=["GET", "POST"])
def change() -> ResponseReturnValue:
    """Change a comment of one's own."""
    with app_state().store.reading() as reading:
        found = _own(reading)
    if found is None:
        return _not_own(request.form.get("body"))
    comment, thread = found
    form = ChangeForm(data={"body": comment.text})
    page = {"form": form, "comment": comment, "thread": thread, "action": request.full_path}
    page["service"] = app_state().settings.akismet_url is not None
    if request.method != "POST":
        return render_template("comments/change.html", **page, problem=None)
    if not form.validate():
        return render_template("comments/change.html", **page, problem=too_late() if csrf_failed(form) else None), 400
    # A request with a valid link is never turned away by a rate limit.
    if not _has_link(comment) and not admits_network("changes"):
        return render_template("comments/change.html", **page, problem=TOO_MUCH), 429, {"Retry-After": "60"}
    new = is_other_text(comment, form.body.data)
    findings = service_says(app_state().settings, comment.author, form.body.data, thread.path) if new else []
    with app_state().store.writing() as writing:
        again = _own(writing, lock=True)
        if again is None:
            return _not_own(form.body.data)
        comment = again[0]
        change_comment(
            writing,
            comment,
            form.body.data,
            rules=rules(app_state().settings),
            now=clock.now(),
            evidence=Evidence(reasons=findings),
        )
    return render_template("comments/changed.html", comment=comment, thread=thread)


@own_comments.route("/delete", methods=["GET", "POST"])
def delete() -> ResponseReturnValue:
    """Delete a comment of one's own: GET shows, POST acts."""
    form = ButtonForm()
    with app_state().store.reading() as reading:
        found = _own(reading)
    if found is None:
        return _not_own(None)
    comment, thread = found
    page = {"form": form, "comment": comment, "thread": thread, "action": request.full_path}
    if request.method != "POST":
        return render_template("comments/delete.html", **page, problem=None)
    if not form.validate():
        return render_template("comments/delete.html", **page, problem=ONCE_MORE), 400
    with app_state().store.writing() as writing:
        again = _own(writing, lock=True)
        if again:
            delete_comment(writing, again[0], now=clock.now())
    return render_template("comments/deleted.html", thread=thread)


@own_comments.route("/confirm/<token>", methods=["GET", "POST"])
def confirm(token: str) -> ResponseReturnValue:
    """Yes, tell me about answers in this thread: GET shows, POST acts."""
    return _about_answers(token, Purpose.CONFIRM_ANSWERS, "comments/confirm.html", "comments/confirmed.html")


@own_comments.route("/stop/<token>", methods=["GET", "POST"])
def stop(token: str) -> ResponseReturnValue:
    """No more about this thread: GET shows, POST acts, and needs nothing but the link (RFC 8058)."""
    return _about_answers(token, Purpose.STOP_ANSWERS, "comments/stop.html", "comments/stopped.html")


@own_comments.get("/yours/")
@own_comments.get("/confirm/")
@own_comments.get("/stop/")
def cut_link() -> ResponseReturnValue:
    """A link of which a mail program left only the start."""
    return _bad_link()


def _about_answers(token: str, purpose: Purpose, ask: str, done: str) -> ResponseReturnValue:
    claim = _claim(token, purpose)
    if claim is None:
        return _bad_link()
    with app_state().store.reading() as reading:
        following = reading.get(Following, claim.person)
        thread = reading.get(Thread, following.thread_id) if following else None
        customer = reading.get(Customer, following.customer_id) if following else None
        masked = address_of(reading, customer).masked if customer else None
    if following is None or thread is None:
        # Erased since, or purged: nobody is told anything.
        return render_template(done, thread=None) if purpose is Purpose.STOP_ANSWERS else _bad_link()
    form = ButtonForm()
    if request.method != "POST":
        return render_template(ask, thread=thread, masked=masked, form=form, problem=None)
    if purpose is Purpose.CONFIRM_ANSWERS and not form.validate():
        return render_template(ask, thread=thread, masked=masked, form=form, problem=ONCE_MORE), 400

    def act(writing: Session) -> None:
        again = writing.get(Following, claim.person, with_for_update=True)
        if again is not None and purpose is Purpose.CONFIRM_ANSWERS:
            notifications.confirm_following(writing, again, now=clock.now())
        elif again is not None:
            notifications.stop_following(again, now=clock.now())

    app_state().store.write(act)
    if purpose is Purpose.CONFIRM_ANSWERS:
        # From now on this browser may speak for the address.
        known = [number for number in session.get("proven", []) if number != following.customer_id]
        session["proven"] = [*known, following.customer_id][-MOST_PROVEN:]
    return render_template(done, thread=thread)


def _own(reading: Session, *, lock: bool = False) -> tuple[Comment, Thread] | None:
    """The comment that is asked for, if it is this browser's, or that of the person whom the link was mailed to."""
    number = parse_number(request.args.get("comment", ""))
    comment = reading.get(Comment, number, with_for_update=lock) if number else None
    if comment is None or comment.status not in CHANGEABLE:
        return None
    if not _has_link(comment) and not may_change(comment, session.get("comments", []), now=clock.now()):
        return None
    return comment, reading.get_one(Thread, comment.thread_id)


def _has_link(comment: Comment) -> bool:
    """Whether a link was mailed to the address that came with a comment, and is used here."""
    claim = _claim(request.args.get("by", ""), Purpose.OWN_COMMENTS)
    return claim is not None and claim.person == comment.customer_id


def _claim(token: str, purpose: Purpose) -> Claim | None:
    try:
        return app_state().signer.read(token, purpose, now=clock.now())
    except BadToken:
        return None


def _not_own(text: str | None) -> ResponseReturnValue:
    return render_template("comments/not_own.html", text=text), 404


def _bad_link() -> ResponseReturnValue:
    return render_template("comments/bad_link.html"), 404
