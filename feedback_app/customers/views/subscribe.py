"""Subscribing: /feedback/subscribe (the form), …/asked, and …/TOKEN (the link of the letter, which acts on POST)."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from feedback_app import clock
from feedback_app.customers.forms import SubscribeForm
from feedback_app.customers.link_requests import save_typed_address
from feedback_app.customers.models import TypedFor
from feedback_app.customers.services import address_of
from feedback_app.customers.subscriptions import SubscriptionRequest, is_confirmation_void, subscribe
from feedback_app.customers.views.link_pages import (
    TOO_MANY_REQUESTS,
    bad_link,
    customer_of,
    form_problem,
    frequency_words,
    link_blueprint,
    may_type_address,
    read_link,
    shown_wording,
    topic_name,
)
from feedback_app.security.link_lifetimes import LINK_DAYS
from feedback_app.security.tokens import Purpose
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm

subscribe_pages = link_blueprint("subscribe")


@subscribe_pages.route("/subscribe", methods=["GET", "POST"])
def ask() -> ResponseReturnValue:
    """Take an address and its topics. The answer is the same whether or not the address is known."""
    form = SubscribeForm()
    if request.method != "POST":
        return render_template("customers/subscribe.html", form=form, problem=None)
    if not form.validate():
        return render_template("customers/subscribe.html", form=form, problem=form_problem(form)), 400
    if not may_type_address():
        return render_template("customers/subscribe.html", form=form, problem=TOO_MANY_REQUESTS), 429
    with app_state().store.writing() as session:
        save_typed_address(
            session,
            form.email.typed,
            TypedFor.SUBSCRIBING,
            subscription=form.subscription(str(get_locale())),
            now=clock.now(),
        )
    return redirect(url_for("subscribe.asked"), code=303)


@subscribe_pages.get("/subscribe/asked")
def asked() -> ResponseReturnValue:
    """Say what to do next, without telling whether the address is known."""
    return render_template("customers/subscribe_asked.html", days=LINK_DAYS[Purpose.SUBSCRIBE])


@subscribe_pages.route("/subscribe/<token>", methods=["GET", "POST"])
def confirm(token: str) -> ResponseReturnValue:
    """Show what the letter's link confirms; confirm it on POST."""
    claim, form, now = read_link(token, Purpose.SUBSCRIBE), ButtonForm(), clock.now()
    try:
        subscription = SubscriptionRequest.of_code(claim.about)
    except ValueError:
        return bad_link()
    with app_state().store.reading() as session:
        customer = customer_of(session, claim)
        masked = address_of(session, customer).masked
        over = is_confirmation_void(session, customer, subscription)
    page: dict[str, object] = {
        "topics": [topic_name(topic) for topic in subscription.topics],
        "frequency": frequency_words(subscription.frequency),
    }
    page |= {"wordings": [shown_wording(topic) for topic in subscription.topics], "form": form, "masked": masked}
    if over:
        return render_template("customers/subscribe_over.html"), 410
    if request.method != "POST":
        return render_template("customers/subscribe_confirm.html", **page, problem=None)
    if not form.validate():
        return render_template("customers/subscribe_confirm.html", **page, problem=form_problem(form)), 400
    with app_state().store.writing() as session:
        customer = customer_of(session, claim, lock=True)
        if is_confirmation_void(session, customer, subscription):
            return render_template("customers/subscribe_over.html"), 410
        new = subscribe(session, customer, subscription, wording_of=shown_wording, now=now)
    return render_template("customers/subscribed.html", **page, new=bool(new))
