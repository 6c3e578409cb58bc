"""The customer's own data: /feedback/preferences/TOKEN/letters, …/data.json and …/erase."""

import json

from flask import Response, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import RadioField, SelectChoice

from feedback_app import clock
from feedback_app.customers.services import address_of
from feedback_app.customers.views.link_pages import (
    customer_of,
    form_problem,
    format_day,
    link_blueprint,
    read_link,
    topic_name,
)
from feedback_app.i18n import big
from feedback_app.mailing.models import DeliveryState
from feedback_app.mailing.words import DELIVERY_STATE_WORDS, SKIP_REASONS
from feedback_app.privacy.erasing import CommentsFate, erase_customer
from feedback_app.privacy.export import export_customer
from feedback_app.privacy.letter_history import SentLetter, letters_to
from feedback_app.security.tokens import Purpose
from feedback_app.web.app_state import app_state

own_data = link_blueprint("own_data", "/feedback/preferences")


class EraseForm(FlaskForm):
    """A form to erase the customer, with what happens to their comments."""

    comments = RadioField(
        _("My comments on the blog"),
        choices=[
            SelectChoice(value=CommentsFate.NAMELESS.value, label=_("Keep them, without my name")),
            SelectChoice(value=CommentsFate.DELETED.value, label=_("Delete them too")),
        ],
        default=CommentsFate.NAMELESS.value,
    )


@own_data.get("/<token>/letters")
def letters(token: str) -> ResponseReturnValue:
    """Show which letters were sent to the customer, and when."""
    claim = read_link(token, Purpose.PREFERENCES)
    with app_state().store.reading() as session:
        customer = customer_of(session, claim)
        lines = list(letters_to(session, customer))
    here = url_for("preferences.centre", token=token)
    page = {"state_words": _state, "topic_name": topic_name, "day": format_day, "why": _why}
    return render_template("customers/letters.html", lines=lines, here=here, **page)


@own_data.get("/<token>/data.json")
def data(token: str) -> ResponseReturnValue:
    """Return everything held about the customer, as a file."""
    claim = read_link(token, Purpose.PREFERENCES)
    with app_state().store.reading() as session:
        customer = customer_of(session, claim)
        document = export_customer(session, customer)
    answer = Response(json.dumps(document, ensure_ascii=False, indent=2) + "\n", mimetype="application/json")
    answer.headers["Content-Disposition"] = 'attachment; filename="what-we-hold-about-you.json"'
    return answer


@own_data.route("/<token>/erase", methods=["GET", "POST"])
def erase(token: str) -> ResponseReturnValue:
    """Say what erasing means; erase on POST."""
    claim, form = read_link(token, Purpose.PREFERENCES), EraseForm()
    here = url_for("preferences.centre", token=token)
    with app_state().store.writing() if form.is_submitted() else app_state().store.reading() as session:
        customer = customer_of(session, claim, lock=form.is_submitted())
        page = {"form": form, "masked": address_of(session, customer).masked, "here": here}
        if not form.is_submitted():
            return render_template("customers/erase.html", **page, problem=None)
        if not form.validate():
            return render_template("customers/erase.html", **page, problem=form_problem(form)), 400
        done = erase_customer(session, customer, now=clock.now(), comments=CommentsFate(form.comments.data))
    return render_template("customers/erased.html", done=done, deleted=form.comments.data == CommentsFate.DELETED)


def _state(state: DeliveryState) -> str:
    return big(gettext(DELIVERY_STATE_WORDS[state]))


def _why(line: SentLetter) -> str:
    """Return why a letter was not sent, translated if the reason is one of ours."""
    if line.state is not DeliveryState.SKIPPED or not line.reason:
        return ""
    return str(gettext(line.reason)) if line.reason in SKIP_REASONS else line.reason
