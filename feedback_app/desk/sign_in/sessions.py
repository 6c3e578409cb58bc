"""Owners' sessions: a browser is signed in only while its session is in the store, whatever its cookie says."""

from flask import Flask, request
from flask import session as cookie
from flask_login import user_logged_in, user_logged_out
from flask_security.signals import password_changed, tf_profile_changed

from feedback_app import clock
from feedback_app.audit_log import Act, note
from feedback_app.desk import services
from feedback_app.desk.sign_in.user_datastore import Account
from feedback_app.web.app_state import app_state

SESSION_KEY = "owner_session"
_BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")


def browser_name(agent: str) -> str:
    """Return a short name for a user agent, like `Firefox on Linux`: no more of it is stored."""
    kind = next((kind for kind in _BROWSERS if kind in agent), "A browser")
    system = next((system for system in _SYSTEMS if system in agent), "")
    kind = {"Edg": "Edge", "OPR": "Opera"}.get(kind, kind)
    return f"{kind} on {system}" if system else kind


def use_stored_sessions(app: Flask) -> None:
    """Let Flask-Login accept only browsers whose session is in the store."""
    manager = app.login_manager  # type: ignore[attr-defined]
    load = manager._user_callback  # noqa: SLF001 - Flask-Login has no other name for it
    # No page of the desk is opened with a token in a header.
    manager.request_loader(lambda _request: None)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_if_session_continues(uniquifier: str) -> Account | None:
        account: Account | None = load(uniquifier)
        if account is None:
            return None
        now = clock.now()
        with app_state().store.reading() as session:
            found = services.find_session(session, account.id, cookie.get(SESSION_KEY, ""), now=now)
        if found is None:
            return None
        if now - found.seen_at > services.SEEN_EVERY:
            with app_state().store.writing() as session:
                services.touch_session(session, found.id, now=now)
        return account

    @user_logged_in.connect_via(app)  # type: ignore[untyped-decorator]
    def begin(_app: Flask, user: Account, **_: object) -> None:
        with app_state().store.writing() as session:
            browser = browser_name(request.user_agent.string)
            cookie[SESSION_KEY] = services.start_session(session, user.id, browser, now=clock.now())

    @user_logged_out.connect_via(app)  # type: ignore[untyped-decorator]
    def end(_app: Flask, user: Account, **_: object) -> None:
        now = clock.now()
        with app_state().store.writing() as session:
            found = services.find_session(session, user.id, cookie.pop(SESSION_KEY, ""), now=now)
            if found is not None:
                services.end_session(session, user.id, number=found.id)
                note(session, user.username, Act.SIGNED_OUT, found.browser, now=now)

    # Signals hold receivers weakly: the app keeps these alive.
    app.extensions["owner sessions"] = (begin, end)


def log_changes(app: Flask) -> None:
    """Write Flask-Security's own changes to the audit log."""

    def log(user: Account, act: Act) -> None:
        with app_state().store.writing() as session:
            note(session, user.username, act, now=clock.now())

    def changed_password(_app: Flask, user: Account, **_: object) -> None:
        log(user, Act.PASSWORD_CHANGED)

    def set_factor(_app: Flask, user: Account, **_: object) -> None:
        log(user, Act.FACTOR_SET)

    password_changed.connect(changed_password, app)
    tf_profile_changed.connect(set_factor, app)
    app.extensions["owner record"] = (changed_password, set_factor)
