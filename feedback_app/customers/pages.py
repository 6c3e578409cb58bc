"""What the pages that links lead to share: reading a link, the page of a bad one, and the words for choices."""

from datetime import date, datetime

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.customers.calendar import next_digest
from feedback_app.customers.forms import FORMATS, FREQUENCIES, NAMES, AskForm
from feedback_app.customers.models import Customer, Frequency, Topic
from feedback_app.customers.saving import Choices, Saved, changed_fields
from feedback_app.tokens import BadToken, Claim, Purpose
from feedback_app.web import forged, house, keep_private

TOPIC_NAMES = {Topic.SPECIALS: "offers", Topic.NEWS: "news from the blog", Topic.REPLIES: "answers to your comments"}
TOO_LATE = (
    "This form had been open too long, or your browser keeps no cookies. What you typed is still here: send it again."
)
FIELD_NAMES = {
    **{topic.value: name.capitalize() for topic, name in TOPIC_NAMES.items()},
    "format": "How letters look",
    "name_display": "How letters name you",
    "name": "Your name",
    "pause_until": "Pause",
    "language": "Language",
}


def make_pages(name: str, prefix: str = "/feedback") -> Blueprint:
    """A blueprint of pages that links lead to: nobody else's to keep, and a bad link gets its page."""
    pages = Blueprint(name, __name__, url_prefix=prefix)
    pages.after_request(keep_private)
    pages.register_error_handler(BadToken, bad_link)
    return pages


def read_link(token: str, purpose: Purpose) -> Claim:
    """What a link allows. Raises BadToken, which `make_pages` answers."""
    return house().signer.read(token, purpose, now=clock.now())


def reader_of(session: Session, claim: Claim, *, lock: bool = False) -> Customer:
    """Whose link it is. Raises BadToken when they are not here any more."""
    customer = session.get(Customer, claim.person, with_for_update=lock)
    if customer is None:
        raise BadToken
    return customer


def bad_link(_error: BadToken | None = None) -> ResponseReturnValue:
    """The page of a link that does not work any more: it leads to a fresh one."""
    return render_template("customers/bad_link.html", form=AskForm(formdata=None)), 404


def problem_of(form: FlaskForm) -> str | None:
    """What is wrong with a form as a whole."""
    return TOO_LATE if forged(form) else None


def day(moment: date | datetime) -> str:
    """A day as a person reads it: 31 December 2007."""
    return f"{moment.day} {moment:%B %Y}"


def said_changes(saved: Saved) -> list[str]:
    """What a save changed, a sentence each."""
    return [
        f"{FIELD_NAMES[name]}: {_said(saved.after, name)} (it was: {_said(saved.before, name)})."
        for name in changed_fields(saved)
    ]


def said_next(choices: Choices, now: datetime) -> list[str]:
    """What will come next, a sentence a topic."""
    lines = []
    if choices.pause_until and choices.pause_until > now.date():
        lines.append(f"Until {day(choices.pause_until)} we write nothing. After that:")
    for topic in Topic:
        name = TOPIC_NAMES[topic].capitalize()
        match choices.frequency(topic):
            case Frequency.NEVER:
                lines.append(f"{name}: no letters.")
            case Frequency.EACH:
                lines.append(f"{name}: a letter each time there is something new.")
            case frequency:
                lines.append(
                    f"{name}: what there is, in one letter {_rhythm(frequency)}; the next one on "
                    f"{day(next_digest(frequency, now))}."
                )
    return lines


def _rhythm(frequency: Frequency) -> str:
    return "every Monday" if frequency is Frequency.WEEKLY else "on the first of every month"


def _said(choices: Choices, name: str) -> str:
    if name in set(Topic):
        return FREQUENCIES[choices.frequency(Topic(name))].lower()
    match name:
        case "format":
            return FORMATS[choices.format].lower()
        case "name_display":
            return NAMES[choices.name_display].lower()
        case "pause_until":
            return f"until {day(choices.pause_until)}" if choices.pause_until else "none"
        case "language":
            return choices.language or "the shop's own"
        case _:
            return choices.name or "none"
