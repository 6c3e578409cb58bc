"""The owner's account, sessions and audit log; and the steps that add the desk to the app."""

from datetime import datetime

from flask import Flask, abort, flash, redirect, render_template, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_security import current_user
from flask_wtf.csrf import validate_csrf
from wtforms.validators import ValidationError

from feedback_app import clock
from feedback_app.audit_log import Act, newest_lines, note
from feedback_app.comments.moderation import UNDOABLE
from feedback_app.desk import services
from feedback_app.desk.figures_views import add_customers_page
from feedback_app.desk.layout import PAGES, owners_pages, refused
from feedback_app.desk.moderation_links import letter_links
from feedback_app.desk.moderation_views import moderation
from feedback_app.desk.post_views import posts
from feedback_app.desk.sign_in.flask_security import SIGNED_IN, prepare_sign_in
from feedback_app.desk.sign_in.sessions import SESSION_KEY
from feedback_app.plurals import counted
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm, parse_number
from feedback_app.web.headers import keep_private

owner = owners_pages("owner", __name__)
add_customers_page(owner)


@owner.get("/account")
def account() -> str:
    """Show the owner's second factors, recovery codes and sessions."""
    now = clock.now()
    with app_state().store.reading() as session:
        sessions = services.list_sessions(session, current_user.id, now=now)
        this = services.find_session(session, current_user.id, cookie.get(SESSION_KEY, ""), now=now)
        left = services.recovery_codes_left(session, current_user.id)
    return render_template(
        "desk/account.html", sessions=sessions, this=this.id if this else None, left=left, form=ButtonForm()
    )


@owner.post("/sessions/end")
def end_sessions() -> ResponseReturnValue:
    """End one session, or all except this browser's."""
    if not ButtonForm().validate():
        return refused()
    now = clock.now()
    number = parse_number(request.form.get("session", ""))
    with app_state().store.writing() as session:
        this = services.find_session(session, current_user.id, cookie.get(SESSION_KEY, ""), now=now)
        but = this.id if this and number is None else None
        ended = services.end_session(session, current_user.id, number=number, but=but)
        if ended:
            note(session, current_user.username, Act.SESSION_ENDED, f"{ended} of {current_user.username}", now=now)
    flash(f"{counted(ended, 'session')} ended.")
    return redirect(url_for("owner.account"), code=303)


@owner.get("/leave")
def sign_out() -> str:
    """Ask for confirmation before signing out."""
    return render_template("desk/sign_out.html", logout_form=ButtonForm())


@owner.get("/log")
def log() -> str:
    """Show the audit log, newest first."""
    with app_state().store.reading() as session:
        lines = newest_lines(session, before=parse_number(request.args.get("before", "")))
    undoable = {line.id for line in lines if line.act in UNDOABLE and line.batch and line.before is not None}
    return render_template("desk/log.html", lines=lines, undoable=undoable, form=ButtonForm())


# Blueprints whose pages have the desk's layout.
DESK_BLUEPRINTS = {*SIGNED_IN, "letter_links"}
# Pages of Flask-Security that are not used: recovery codes replace a lost phone, and a fresh sign-in is proved with the
# password.
UNUSED_ENDPOINTS = {"security.two_factor_rescue", "security.wan_verify", "security.wan_verify_response"}


def moment(at: datetime) -> str:
    """Format a time for the owner's pages, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"


def _check_form() -> None:
    if request.endpoint in UNUSED_ENDPOINTS:
        abort(404)
    if request.method == "POST":
        try:
            validate_csrf(request.form.get("csrf_token"))
        except ValidationError:
            abort(400)


def prepare_desk(app: Flask) -> None:
    """Add the sign-in and the owner's pages to an app that has its state."""
    prepare_sign_in(app)
    app.jinja_env.filters["moment"] = moment
    for pages in (owner, moderation, posts, letter_links):
        app.register_blueprint(pages)

    app.before_request_funcs.setdefault("security", []).insert(0, _check_form)
    app.after_request_funcs.setdefault("security", []).append(keep_private)

    @app.context_processor
    def layout() -> dict[str, object]:
        if request.blueprint not in DESK_BLUEPRINTS:
            return {}
        page = {"pages": PAGES, "signed_in": current_user.is_authenticated}
        return page | ({"undo_form": ButtonForm(formdata=None)} if current_user.is_authenticated else {})
