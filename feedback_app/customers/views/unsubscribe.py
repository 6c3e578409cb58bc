"""Unsubscribing: /feedback/unsubscribe/TOKEN, for one customer and one topic. It shows on GET and acts on POST."""

from datetime import datetime

from flask import render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.customers.consent import choose, recent_frequency, withdraw
from feedback_app.customers.models import ConsentChannel, Customer, Frequency
from feedback_app.customers.preferences import less_often_than
from feedback_app.customers.services import address_of
from feedback_app.customers.topics import Topic
from feedback_app.customers.views.link_pages import (
    bad_link,
    frequency_words,
    link_blueprint,
    read_link,
    shown_wording,
    topic_name,
    use_language_of,
)
from feedback_app.security.tokens import Purpose
from feedback_app.web.app_state import app_state

unsubscribe_pages = link_blueprint("unsubscribe")

EVERYTHING = "all"
RARER = (Frequency.WEEKLY, Frequency.MONTHLY)


@unsubscribe_pages.route("/unsubscribe/<token>", methods=["GET", "POST"])
def unsubscribe(token: str) -> ResponseReturnValue:
    """Show what the link does; do it on POST, which needs nothing but the link (RFC 8058).

    It needs no cookie and no form token: a mail program has neither, and the link itself is the authority. It can only
    reduce letters: "less often" is only for a customer who gets more letters now, or did until they unsubscribed
    within the last day.
    """
    claim = read_link(token, Purpose.UNSUBSCRIBE)
    if claim.about not in {topic.info.code for topic in Topic}:
        return bad_link()
    topic, now = Topic.of_code(claim.about), clock.now()
    # HEAD, like any method but POST, only shows: link scanners use it.
    if request.method != "POST":
        with app_state().store.reading() as session:
            customer = session.get(Customer, claim.person)
            masked = address_of(session, customer).masked if customer else None
            if customer:
                use_language_of(customer)
            rarer = less_often_than(recent_frequency(session, customer, topic, now=now)) if customer else []
        return render_template(
            "customers/unsubscribe.html",
            topic=topic_name(topic),
            masked=masked,
            rarer=rarer,
            frequency_words=frequency_words,
        )
    instead = request.form.get("instead", "")
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    channel = ConsentChannel.ONE_CLICK if one_click else ConsentChannel.UNSUBSCRIBE_PAGE

    def act(session: Session) -> Frequency:
        customer = session.get(Customer, claim.person, with_for_update=True)
        # An erased customer gets no letters either: the page is the same.
        if customer is None:
            return Frequency.NEVER
        use_language_of(customer)
        return _act(session, customer, topic, instead, channel=channel, now=now)

    # A mail program does not try twice: `write` repeats a transaction that failed because of another one.
    chosen = app_state().store.write(act)
    return render_template(
        "customers/unsubscribed.html", topic=topic_name(topic), chosen=chosen, everything=instead == EVERYTHING
    )


@unsubscribe_pages.get("/unsubscribe/")
def cut_link() -> ResponseReturnValue:
    """Answer a link that a mail program cut off."""
    return bad_link()


def _act(
    session: Session, customer: Customer, topic: Topic, instead: str, *, channel: ConsentChannel, now: datetime
) -> Frequency:
    if instead in RARER:
        wanted, had = Frequency(instead), recent_frequency(session, customer, topic, now=now)
        if wanted is had or wanted in less_often_than(had):
            choose(session, customer, topic, wanted, channel=channel, wording=shown_wording(topic), now=now)
            return wanted
    topics = Topic if instead == EVERYTHING else (topic,)
    withdraw(session, customer, topics, channel=channel, wording_of=shown_wording, now=now)
    return Frequency.NEVER
