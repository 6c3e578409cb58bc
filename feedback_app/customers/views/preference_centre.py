"""The preference centre: /feedback/preferences (asks for a link), …/TOKEN, …/TOKEN/undo and …/TOKEN/history."""

from datetime import datetime

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.customers.addresses import clean_name
from feedback_app.customers.consent import history
from feedback_app.customers.forms import AskForm, PreferencesForm
from feedback_app.customers.link_requests import save_typed_address
from feedback_app.customers.models import Customer, LetterFormat, NameDisplay, TypedFor, Wording
from feedback_app.customers.preferences import (
    ChoicesChange,
    CustomerChoices,
    changed_fields,
    current_choices,
    save_choices,
    undo_last_save,
    undoable_since,
)
from feedback_app.customers.services import address_of
from feedback_app.customers.topics import Topic
from feedback_app.customers.views.link_pages import (
    TOO_MANY_REQUESTS,
    bad_link,
    customer_of,
    describe_changes,
    describe_next_letters,
    form_problem,
    format_day,
    frequency_words,
    link_blueprint,
    may_type_address,
    read_link,
    shown_wording,
    topic_name,
)
from feedback_app.customers.words import CONSENT_ACTION_WORDS, CONSENT_CHANNEL_WORDS
from feedback_app.security.link_lifetimes import LINK_DAYS
from feedback_app.security.tokens import Purpose
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm

preference_pages = link_blueprint("preferences")


@preference_pages.route("/preferences", methods=["GET", "POST"])
def ask() -> ResponseReturnValue:
    """Ask for a link. The answer is the same whether or not the address is known."""
    form = AskForm()
    if request.method != "POST":
        return render_template("customers/ask.html", form=form, problem=None)
    if not form.validate():
        return render_template("customers/ask.html", form=form, problem=form_problem(form)), 400
    if not may_type_address():
        return render_template("customers/ask.html", form=form, problem=TOO_MANY_REQUESTS), 429
    with app_state().store.writing() as session:
        save_typed_address(session, form.email.typed, TypedFor.PREFERENCES, now=clock.now())
    return redirect(url_for("preferences.asked"), code=303)


@preference_pages.get("/preferences/asked")
def asked() -> ResponseReturnValue:
    """Say what to do next, without telling whether the address is known."""
    return render_template("customers/asked.html", days=LINK_DAYS[Purpose.PREFERENCES])


@preference_pages.route("/preferences/<token>", methods=["GET", "POST"])
def centre(token: str) -> ResponseReturnValue:
    """Show the choices; save them on POST."""
    now = clock.now()
    claim = read_link(token, Purpose.PREFERENCES)
    with app_state().store.reading() as session:
        customer = customer_of(session, claim)
        before = current_choices(session, customer)
        address = address_of(session, customer)
        form = PreferencesForm(data=_shown(before), languages=app_state().settings.languages)
        since = undoable_since(session, customer, now=now)
    address_shown = address.written if request.args.get("show") == "address" else None
    page = {
        "form": form,
        "masked": address.masked,
        "shown": address_shown,
        "topics": {topic: shown_wording(topic) for topic in Topic},
        "here": url_for("preferences.centre", token=token),
        "undoable": since,
        "undo_form": ButtonForm(formdata=None),
        "day": format_day,
    }
    if request.method != "POST":
        return render_template("customers/centre.html", **page, problem=None, elsewhere=None)
    if not form.validate():
        return render_template("customers/centre.html", **page, problem=form_problem(form), elsewhere=None), 400
    wanted = _wanted(form)
    with app_state().store.writing() as session:
        # The customer may have been erased since the read above.
        customer = customer_of(session, claim, lock=True)
        stored = current_choices(session, customer)
        if form.seen.data in {None, "", stored.checksum} or stored == wanted:
            return _saved(token, save_choices(session, customer, wanted, wording_of=shown_wording, now=now), now)
    # Another tab, or an unsubscribe link, was faster: the customer looks at its change before overruling it.
    form.seen.data = stored.checksum
    elsewhere = describe_changes(ChoicesChange(wanted, stored))
    return render_template("customers/centre.html", **page, problem=None, elsewhere=elsewhere), 409


@preference_pages.post("/preferences/<token>/undo")
def undo_last(token: str) -> ResponseReturnValue:
    """Undo the last save, while it can be undone."""
    now = clock.now()
    claim, form = read_link(token, Purpose.PREFERENCES), ButtonForm()
    here = url_for("preferences.centre", token=token)
    if not form.validate():
        return render_template("customers/too_late.html", here=here), 400
    with app_state().store.writing() as session:
        customer = customer_of(session, claim, lock=True)
        saved = undo_last_save(session, customer, wording_of=shown_wording, now=now)
    if saved is None:
        return render_template("customers/not_undone.html", here=here), 409
    return _saved(token, saved, now, undone=True)


@preference_pages.get("/preferences/<token>/history")
def record(token: str) -> ResponseReturnValue:
    """Show the history of the customer's choices."""
    claim = read_link(token, Purpose.PREFERENCES)
    with app_state().store.reading() as session:
        customer = customer_of(session, claim)
        lines = _record(session, customer)
    here = url_for("preferences.centre", token=token)
    return render_template("customers/history.html", lines=lines, here=here)


@preference_pages.get("/preferences/")
def cut_link() -> ResponseReturnValue:
    """Answer a link that a mail program cut off."""
    return bad_link()


def _record(session: Session, customer: Customer) -> list[dict[str, object]]:
    return [
        {
            "moment": event.at.strftime("%Y-%m-%dT%H:%MZ"),
            "when": f"{format_day(event.at)}, {event.at:%H:%M} UTC",
            "topic": topic_name(event.topic),
            "chosen": frequency_words(event.frequency),
            "what": gettext(CONSENT_ACTION_WORDS[event.action]),
            "through": gettext(CONSENT_CHANNEL_WORDS.get(event.channel, event.channel.value)),
            "evidence": event.evidence or "",
            "wording": session.get_one(Wording, event.wording_hash).text,
        }
        for event in reversed(history(session, customer))
    ]


def _shown(choices: CustomerChoices) -> dict[str, object]:
    return choices.fields() | {"language": choices.language or "", "seen": choices.checksum}


def _wanted(form: PreferencesForm) -> CustomerChoices:
    return CustomerChoices(
        {topic: form.frequency(topic) for topic in Topic},
        format=LetterFormat(form.format.data),
        name_display=NameDisplay(form.name_display.data),
        name=clean_name(form.name.data) or "",
        pause_until=form.pause,
        language=form.chosen_language,
    )


def _saved(token: str, saved: ChoicesChange, now: datetime, *, undone: bool = False) -> ResponseReturnValue:
    return render_template(
        "customers/saved.html",
        changes=describe_changes(saved),
        coming=describe_next_letters(saved.after, now),
        here=url_for("preferences.centre", token=token),
        undo_form=ButtonForm(formdata=None),
        can_undo=bool(changed_fields(saved)) and not undone,
        undone=undone,
    )
