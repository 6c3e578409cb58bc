"""The preference pages: ask for a link, the centre, unsubscribing."""

from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.config import Switch
from feedback_app.customers.addresses import Address, clean_name
from feedback_app.customers.consent import WORDINGS, Change, choose, frequencies
from feedback_app.customers.forms import FREQUENCIES, AskForm, PreferencesForm
from feedback_app.customers.models import ConsentChannel, Customer, Frequency, LetterFormat, NameDisplay, Topic
from feedback_app.customers.services import address_of, name_of, request_link, set_name
from feedback_app.tokens import BadToken, Purpose
from feedback_app.web import forged, house, keep_private

TOPIC_NAMES = {Topic.SPECIALS: "offers", Topic.NEWS: "news from the blog", Topic.REPLIES: "answers to your comments"}
TOO_LATE = (
    "This form had been open too long, or your browser keeps no cookies. What you typed is still here: send it again."
)

customers = Blueprint("customers", __name__, url_prefix="/feedback")
customers.after_request(keep_private)


@customers.route("/preferences", methods=["GET", "POST"])
def ask() -> ResponseReturnValue:
    """Ask for a link; the answer is the same whether or not the address is known."""
    form = AskForm()
    if request.method != "POST":
        return render_template("customers/ask.html", form=form, problem=None)
    if not form.validate():
        return render_template("customers/ask.html", form=form, problem=TOO_LATE if forged(form) else None), 400
    with house().store.writing() as session:
        quiet = house().settings.rate_limits is Switch.ON
        request_link(session, Address.parse(form.email.data or ""), now=clock.now(), quiet=quiet)
    return redirect(url_for("customers.asked"), code=303)


@customers.get("/preferences/asked")
def asked() -> ResponseReturnValue:
    """Say what comes next, without saying whether the address is known."""
    return render_template("customers/asked.html")


@customers.route("/preferences/<token>", methods=["GET", "POST"])
def centre(token: str) -> ResponseReturnValue:
    """Show the choices; save them."""
    now = clock.now()
    try:
        claim = house().signer.read(token, Purpose.PREFERENCES, now=now)
    except BadToken:
        return _bad_link()
    with house().store.reading() as session:
        customer = session.get(Customer, claim.person)
        if customer is None:
            return _bad_link()
        form = PreferencesForm(data=_current(session, customer))
        address = address_of(session, customer)
    shown = address.written if request.args.get("show") == "address" else None
    page = {"form": form, "masked": address.masked, "shown": shown, "topics": WORDINGS}
    if request.method != "POST":
        return render_template("customers/centre.html", **page, problem=None)
    if not form.validate():
        return render_template("customers/centre.html", **page, problem=TOO_LATE if forged(form) else None), 400
    with house().store.writing() as session:
        customer = session.get(Customer, claim.person, with_for_update=True)
        if customer is None:
            # Erased since the page was asked for, a moment ago.
            return _bad_link()
        changes = _save(session, customer, form, now)
    return render_template(
        "customers/saved.html", changes=changes, names=TOPIC_NAMES, frequencies=FREQUENCIES, form=form
    )


@customers.route("/unsubscribe/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> ResponseReturnValue:
    """Show what the link does; do it on POST, which needs nothing but the link (RFC 8058).

    No cookie and no form token are asked for: a mail program has neither, and the link is the authority.
    """
    now = clock.now()
    try:
        claim = house().signer.read(token, Purpose.UNSUBSCRIBE, now=now)
        topic = Topic.of_code(claim.about)
    except (BadToken, KeyError):
        return _bad_link()
    # HEAD shows too, as any method but POST does: link scanners use it.
    if request.method != "POST":
        with house().store.reading() as session:
            customer = session.get(Customer, claim.person)
            masked = address_of(session, customer).masked if customer else None
        return render_template("customers/unsubscribe.html", topic=TOPIC_NAMES[topic], masked=masked)
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    channel = ConsentChannel.ONE_CLICK if one_click else ConsentChannel.UNSUBSCRIBE_PAGE

    def stop(session: Session) -> None:
        customer = session.get(Customer, claim.person, with_for_update=True)
        # Somebody who is not here any more gets no letters either: the same friendly page.
        if customer:
            choose(session, customer, topic, Frequency.NEVER, channel=channel, wording=WORDINGS[topic], now=now)

    # A mail program does not press twice: a no that had to give way to another transaction is said again.
    house().store.write(stop)
    return render_template("customers/unsubscribed.html", topic=TOPIC_NAMES[topic])


@customers.get("/preferences/")
@customers.get("/unsubscribe/")
def cut_link() -> ResponseReturnValue:
    """A link of which a mail program left only the start."""
    return _bad_link()


def _bad_link() -> ResponseReturnValue:
    return render_template("customers/bad_link.html", form=AskForm(formdata=None)), 404


def _current(session: Session, customer: Customer) -> dict[str, object]:
    chosen = frequencies(session, customer)
    return {
        **{topic.value: chosen.get(topic, Frequency.NEVER).value for topic in Topic},
        "format": customer.format.value,
        "name_display": customer.name_display.value,
        "name": name_of(session, customer) or "",
        "pause_until": customer.pause_until,
    }


def _save(session: Session, customer: Customer, form: PreferencesForm, now: datetime) -> list[Change]:
    customer.confirmed_at = customer.confirmed_at or now
    customer.format = LetterFormat(form.format.data)
    customer.name_display = NameDisplay(form.name_display.data)
    customer.pause_until = form.pause
    set_name(session, customer, clean_name(form.name.data))
    changes = (
        choose(
            session,
            customer,
            topic,
            form.frequency(topic),
            channel=ConsentChannel.FORM,
            wording=WORDINGS[topic],
            now=now,
        )
        for topic in Topic
    )
    return [change for change in changes if change]
