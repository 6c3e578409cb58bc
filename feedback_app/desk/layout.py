"""What the owner's pages share: who may see them, what stands in the navigation, how a press is answered."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import current_user

from feedback_app.desk.sign_in.flask_security import PREFIX, ask_who
from feedback_app.web.headers import keep_private

# What stands in the navigation, in this order: the endpoint and its name.
PAGES: list[tuple[str, str]] = [
    ("moderation.queue", "Comments"),
    ("posts.listed", "Posts"),
    ("owner.customers_page", "Customers"),
    ("owner.log", "Audit log"),
    ("owner.account", "Account"),
]

View = TypeVar("View", bound=Callable[..., ResponseReturnValue])


def owners_pages(name: str, import_name: str) -> Blueprint:
    """A blueprint whose pages nobody but an owner sees."""
    made = Blueprint(name, import_name, url_prefix=PREFIX)
    made.after_request(keep_private)

    @made.before_request
    def only_signed_in() -> ResponseReturnValue | None:
        """Nobody else sees these pages."""
        return None if current_user.is_authenticated else ask_who()

    return made


def refused() -> ResponseReturnValue:
    """The answer to a form that came without its token: nothing was done."""
    return render_template("desk/refused.html"), 400


def done(words: str, *, batch: str | None, back: str) -> ResponseReturnValue:
    """Say what was done, offer to undo it, and go back to where it was pressed."""
    flash(words, f"undo {batch}" if batch else "message")
    return redirect(back, code=303)


def way_back() -> str:
    """Where a form says that it came from, if that is one of these pages; the first one otherwise."""
    said = request.form.get("back", "")
    parts = urlsplit(said)
    ours = said.isprintable() and parts.path.startswith(f"{PREFIX}/") and not parts.netloc and "\\" not in said
    return said if ours else url_for("moderation.queue")
