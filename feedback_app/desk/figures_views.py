"""The owner's page about customers: charts drawn as SVG with a table of the same, and one person when asked for."""

from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_security import current_user
from flask_wtf import FlaskForm

from feedback_app import clock
from feedback_app.audit_log import Act, note
from feedback_app.customers.consent import frequencies
from feedback_app.customers.fields import AddressField
from feedback_app.customers.services import address_of, find_customer, suppression_of
from feedback_app.customers.topics import Topic
from feedback_app.desk.figures import OFTEN, Figures, figures
from feedback_app.web.app_state import app_state

HEIGHT, BAR, GAP = 120, 18, 6


class FindForm(FlaskForm):
    """The address of somebody who wrote to the shop, say."""

    email = AddressField("E-mail address", required="Type the address.")


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, in the units of its drawing."""

    x: int
    y: int
    height: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its name, its size and its bars."""

    title: str
    width: int
    bars: list[Bar]


def chart(title: str, groups: list[tuple[str, list[tuple[str, int]]]]) -> Chart:
    """Bars in groups, each (kind, number); as high as their share of the highest."""
    highest = max((number for _, bars in groups for _, number in bars), default=0) or 1
    x, bars = GAP, []
    for name, group in groups:
        for kind, number in group:
            height = round(number / highest * HEIGHT)
            bars.append(Bar(x, HEIGHT - height, height, kind, f"{name}, {kind}: {number}"))
            x += BAR
        x += GAP
    return Chart(title, x, bars)


def charts(numbers: Figures) -> list[Chart]:
    """How many may be written to about what; joined and left, a chart a topic."""
    reached = [
        (topic.info.short_label, [(frequency.value, numbers.reached[topic][frequency]) for frequency in OFTEN])
        for topic in Topic
    ]
    drawn = [chart("Who may be written to, and how often", reached)]
    for topic in Topic:
        months = [
            (f"{month.start:%Y-%m}", [("joined", month.joined), ("left", month.left)])
            for month in numbers.months[topic]
        ]
        drawn.append(chart(f"{topic.info.short_label}: joined and left, month by month", months))
    return drawn


def customers_page() -> ResponseReturnValue:
    """Numbers, and never a list of addresses; whoever asks for one person gets that one, and a line in the log."""
    form, now = FindForm(), clock.now()
    found: dict[str, object] | None = None
    status = 200
    if request.method == "POST":
        if form.validate():
            found = _found(form)
        else:
            status = 400
    with app_state().store.reading() as session:
        numbers = figures(session, now=now)
    page = {"numbers": numbers, "charts": charts(numbers), "often": OFTEN, "height": HEIGHT}
    return render_template("desk/customers.html", **page, form=form, found=found, bar=BAR), status


def _found(form: FindForm) -> dict[str, object]:
    address = form.email.typed
    with app_state().store.writing() as session:
        customer, barred = find_customer(session, address), suppression_of(session, address)
        note(session, current_user.username, Act.ADDRESS_SHOWN, "one customer, by address", now=clock.now())
        return {
            "address": address_of(session, customer).written if customer else None,
            "since": customer.created_at if customer else None,
            "confirmed": customer.confirmed_at if customer else None,
            "choices": frequencies(session, customer) if customer else {},
            "barred": barred.reason.value if barred else None,
        }


def add_customers_page(owner: Blueprint) -> None:
    """Put the page among the owner's, which are for those who are signed in."""
    owner.add_url_rule("/customers", "customers_page", customers_page, methods=["GET", "POST"])
