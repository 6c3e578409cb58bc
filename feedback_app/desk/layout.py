"""What the owner's pages share: the sign-in check, the navigation, and the answers to a form."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import current_user

from feedback_app.desk.sign_in.flask_security import PREFIX, redirect_to_sign_in
from feedback_app.web.headers import keep_private

# The navigation, in this order: endpoint and name.
PAGES: list[tuple[str, str]] = [
    ("moderation.queue", "Comments"),
    ("posts.listed", "Posts"),
    ("owner.customers_page", "Customers"),
    ("owner.log", "Audit log"),
    ("owner.account", "Account"),
]

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])


def owners_pages(name: str, import_name: str) -> Blueprint:
    """Return a blueprint whose pages are for signed-in owners only."""
    blueprint = Blueprint(name, import_name, url_prefix=PREFIX)
    blueprint.after_request(keep_private)

    @blueprint.before_request
    def require_sign_in() -> ResponseReturnValue | None:
        return None if current_user.is_authenticated else redirect_to_sign_in()

    return blueprint


def refused() -> ResponseReturnValue:
    """Answer a form whose CSRF token was missing or wrong: nothing was done."""
    return render_template("desk/refused.html"), 400


def done(message: str, *, batch: str | None, back: str) -> ResponseReturnValue:
    """Redirect to the page of the form, with a message and, for a batch of the audit log, an undo button."""
    flash(message, f"undo {batch}" if batch else "message")
    return redirect(back, code=303)


def way_back() -> str:
    """Return the form's `back` URL if it is a page of the desk, else the queue: no redirect leads elsewhere."""
    url = request.form.get("back", "")
    parts = urlsplit(url)
    is_desk_page = url.isprintable() and parts.path.startswith(f"{PREFIX}/") and not parts.netloc and "\\" not in url
    return url if is_desk_page else url_for("moderation.queue")
