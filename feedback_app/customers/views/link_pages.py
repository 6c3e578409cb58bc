"""Helpers of the pages that links lead to: reading a link, the page of a bad one, and the words for choices."""

from datetime import date, datetime

from flask import Blueprint, g, render_template
from flask.typing import ResponseReturnValue
from flask_babel import format_date, gettext, refresh
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from limits import parse
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.customers.digest_schedule import next_digest
from feedback_app.customers.forms import AskForm
from feedback_app.customers.models import Customer, Frequency
from feedback_app.customers.preferences import ChoicesChange, CustomerChoices, changed_fields
from feedback_app.customers.topics import Topic
from feedback_app.customers.words import FORMAT_WORDS, FREQUENCY_WORDS, LANGUAGE_WORDS, NAME_DISPLAY_WORDS
from feedback_app.i18n import big, small
from feedback_app.security.tokens import BadToken, Claim, Purpose
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import csrf_failed
from feedback_app.web.headers import keep_private

FORM_EXPIRED = _(
    "This form was open too long, or your browser blocks cookies. What you typed is still here: send it again."
)
TOO_MANY_REQUESTS = _(
    "Too many requests came from your network. What you typed is still here: wait a minute, and send it again."
)
ASKING_LIMITS = (parse("30/minute"), parse("300/hour"))
FIELD_NAMES = {
    "format": _("How letters look"),
    "name_display": _("How letters name you"),
    "name": _("Your name"),
    "pause_until": _("Pause"),
    "language": _("Language"),
}


def link_blueprint(name: str, prefix: str = "/feedback") -> Blueprint:
    """Return a blueprint of private pages that links lead to: no cache keeps them, and a bad link gets its page."""
    pages = Blueprint(name, __name__, url_prefix=prefix)
    pages.after_request(keep_private)
    pages.register_error_handler(BadToken, bad_link)
    return pages


def may_type_address() -> bool:
    """Return whether this network may type one more address. A page with a valid link never asks."""
    return all(
        app_state().limits.admit(limit, "asking", app_state().limits.client_network_hash()) for limit in ASKING_LIMITS
    )


def read_link(token: str, purpose: Purpose) -> Claim:
    """Return what a link allows. Raises BadToken, which the blueprint answers with its page."""
    return app_state().signer.read(token, purpose, now=clock.now())


def customer_of(session: Session, claim: Claim, *, lock: bool = False) -> Customer:
    """Return the customer of a link. Raises BadToken if they were erased, or have changed their address since."""
    customer = session.get(Customer, claim.person, with_for_update=lock)
    if customer is None or (claim.purpose is Purpose.PREFERENCES and claim.about != customer.link_series):
        raise BadToken
    use_language_of(customer)
    return customer


def use_language_of(customer: Customer) -> None:
    """Show the page in the language that the customer chose for letters, if they chose one."""
    if customer.language in app_state().settings.languages:
        g.language = customer.language
        refresh()


def shown_wording(topic: Topic) -> str:
    """Return what a customer agrees to, in the page's language: the record keeps the words that were shown."""
    return str(gettext(topic.info.wording))


def topic_name(topic: Topic) -> str:
    """Return a topic's name within a sentence, in the page's language."""
    return str(gettext(topic.info.name))


def frequency_words(frequency: Frequency) -> str:
    """Return how often letters come, within a sentence, in the page's language."""
    return small(gettext(FREQUENCY_WORDS[frequency]))


def bad_link(_error: BadToken | None = None) -> ResponseReturnValue:
    """Return the page of a link that no longer works: it offers a fresh one."""
    return render_template("customers/bad_link.html", form=AskForm(formdata=None)), 404


def form_problem(form: FlaskForm) -> str | None:
    """Return what is wrong with a form as a whole, if anything."""
    return str(FORM_EXPIRED) if csrf_failed(form) else None


def format_day(moment: date | datetime) -> str:
    """Return a date as people write it: 31 December 2007."""
    return str(format_date(moment.date() if isinstance(moment, datetime) else moment, gettext("d MMMM y")))


def describe_changes(saved: ChoicesChange) -> list[str]:
    """Return what a save changed, one sentence for each field."""
    return [
        gettext(
            "%(field)s: %(now)s (it was: %(before)s).",
            field=big(topic_name(Topic(name))) if name in set(Topic) else str(FIELD_NAMES[name]),
            now=_value_words(saved.after, name),
            before=_value_words(saved.before, name),
        )
        for name in changed_fields(saved)
    ]


def describe_next_letters(choices: CustomerChoices, now: datetime) -> list[str]:
    """Return which letters come next, one sentence for each topic."""
    lines = []
    if choices.pause_until and choices.pause_until > now.date():
        lines.append(gettext("Until %(when)s we write nothing. After that:", when=format_day(choices.pause_until)))
    for topic in Topic:
        name = big(topic_name(topic))
        match choices.frequency(topic):
            case Frequency.NEVER:
                lines.append(gettext("%(topic)s: no letters.", topic=name))
            case Frequency.EACH:
                lines.append(gettext("%(topic)s: a letter each time there is something new.", topic=name))
            case frequency:
                lines.append(_in_one_letter(name, frequency, format_day(next_digest(frequency, now))))
    return lines


def _in_one_letter(topic: str, frequency: Frequency, when: str) -> str:
    weekly = gettext(
        "%(topic)s: what there is, in one letter every Monday; the next one on %(when)s.", topic=topic, when=when
    )
    monthly = gettext(
        "%(topic)s: what there is, in one letter on the first of every month; the next one on %(when)s.",
        topic=topic,
        when=when,
    )
    return str(weekly if frequency is Frequency.WEEKLY else monthly)


def _value_words(choices: CustomerChoices, name: str) -> str:
    if name in set(Topic):
        return frequency_words(choices.frequency(Topic(name)))
    if name in {"format", "name_display"}:
        words = FORMAT_WORDS[choices.format] if name == "format" else NAME_DISPLAY_WORDS[choices.name_display]
        return small(gettext(words))
    if name == "pause_until":
        until = choices.pause_until
        return str(gettext("until %(when)s", when=format_day(until)) if until else gettext("none"))
    if name == "language":
        return LANGUAGE_WORDS[choices.language] if choices.language else str(gettext("the shop's own"))
    return choices.name or str(gettext("none"))
