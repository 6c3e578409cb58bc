"""The owner's own pages: the frame, the account, the audit log."""

from datetime import datetime

from flask import Blueprint, Flask, Response, abort, flash, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_security import current_user
from flask_wtf import FlaskForm
from flask_wtf.csrf import validate_csrf
from wtforms.validators import ValidationError

from feedback_app import clock
from feedback_app.audit import Act, new_batch, newest_lines, note
from feedback_app.comments.models import CommentStatus
from feedback_app.comments.services import NoSuchComment, decide, list_comments
from feedback_app.owner import services
from feedback_app.owner.sign_in import PREFIX, ask_who, prepare_sign_in
from feedback_app.owner.signed_in import KEY
from feedback_app.web import house, keep_private, number_of

# What stands in the navigation, in this order: the endpoint and its name.
PAGES: list[tuple[str, str]] = [
    ("owner.home", "Comments"),
    ("owner.log", "Audit log"),
    ("owner.account", "Account"),
]

DECISIONS = {
    "approve": CommentStatus.APPROVED,
    "reject": CommentStatus.REJECTED,
    "spam": CommentStatus.SPAM,
    "delete": CommentStatus.DELETED,
}
MOST_SHOWN = 50

owner = Blueprint("owner", __name__, url_prefix=PREFIX)
owner.after_request(keep_private)


class TokenForm(FlaskForm):
    """A form of buttons: nothing but its token."""


@owner.before_request
def only_signed_in() -> ResponseReturnValue | None:
    """Nobody else sees these pages."""
    if current_user.is_authenticated:
        return None
    return ask_who()


@owner.route("/", methods=["GET", "POST"])
def home() -> ResponseReturnValue:
    """The comments that wait; decide on one or several."""
    form = TokenForm()
    if request.method == "POST":
        if not form.validate():
            return refused()
        decision = DECISIONS.get(request.form.get("action", ""))
        numbers = [number for text in request.form.getlist("comment") if (number := number_of(text))]
        if decision is None or not numbers:
            flash("Nothing was chosen: tick the comments, then press a button.")
            return redirect(url_for("owner.home"), code=303)
        flash(_decide(numbers, decision))
        return redirect(url_for("owner.home"), code=303)
    with house().store.reading() as session:
        waiting = list_comments(session, CommentStatus.PENDING)
    return render_template("owner/home.html", waiting=waiting[:MOST_SHOWN], count=len(waiting), form=form)


def _decide(numbers: list[int], decision: CommentStatus) -> str:
    now, batch = clock.now(), new_batch()
    try:
        with house().store.writing() as session:
            changed = decide(session, numbers, decision, now=now)
            for number in numbers:
                about = f"comment {number}: {decision}"
                note(session, current_user.username, Act.DECIDED, about, now=now, batch=batch)
    except NoSuchComment:
        return "One of these comments is gone. Nothing was done."
    return f"{changed} {'comment' if changed == 1 else 'comments'}: {decision}."


@owner.get("/account")
def account() -> str:
    """Password, second factor, recovery codes; where one is signed in."""
    now = clock.now()
    with house().store.reading() as session:
        sessions = services.list_sessions(session, current_user.id, now=now)
        this = services.find_session(session, current_user.id, cookie.get(KEY, ""), now=now)
        left = services.recovery_codes_left(session, current_user.id)
    return render_template(
        "owner/account.html", sessions=sessions, this=this.id if this else None, left=left, form=TokenForm()
    )


@owner.post("/sessions/end")
def end_sessions() -> ResponseReturnValue:
    """End one session, or all but this one."""
    if not TokenForm().validate():
        return refused()
    now = clock.now()
    number = number_of(request.form.get("session", ""))
    with house().store.writing() as session:
        this = services.find_session(session, current_user.id, cookie.get(KEY, ""), now=now)
        but = this.id if this and number is None else None
        ended = services.end_session(session, current_user.id, number=number, but=but)
        if ended:
            note(session, current_user.username, Act.SESSION_ENDED, f"{ended} of {current_user.username}", now=now)
    flash(f"{ended} {'session' if ended == 1 else 'sessions'} ended.")
    return redirect(url_for("owner.account"), code=303)


@owner.get("/leave")
def sign_out() -> str:
    """Ask before signing out."""
    return render_template("owner/sign_out.html", logout_form=TokenForm())


@owner.get("/log")
def log() -> str:
    """What was done, the newest first."""
    with house().store.reading() as session:
        lines = newest_lines(session, before=number_of(request.args.get("before", "")))
    return render_template("owner/log.html", lines=lines)


def moment(at: datetime) -> str:
    """A moment as the owner's pages write it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"


def refused() -> ResponseReturnValue:
    """The answer to a form that came without its token: nothing was done."""
    return render_template("owner/refused.html"), 400


def prepare_owner(app: Flask) -> None:
    """Add signing in and the owner's pages to an app that has its house."""
    prepare_sign_in(app)
    app.jinja_env.filters["moment"] = moment
    app.register_blueprint(owner)

    @app.before_request
    def know_the_form() -> None:
        if request.endpoint == "security.two_factor_rescue":
            abort(404)
        if request.blueprint == "security" and request.method == "POST":
            try:
                validate_csrf(request.form.get("csrf_token"))
            except ValidationError:
                abort(400)

    @app.after_request
    def keep(answer: Response) -> Response:
        return keep_private(answer) if request.blueprint == "security" else answer

    @app.context_processor
    def frame() -> dict[str, object]:
        if request.blueprint not in {"owner", "security"}:
            return {}
        return {"pages": PAGES, "signed_in": current_user.is_authenticated}
