"""The customers page: figures as SVG charts with tables of the same, and one customer by address."""

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
from feedback_app.desk.figures import SENDING, Figures, figures
from feedback_app.web.app_state import app_state

# Units of the drawing.
CHART_HEIGHT, BAR_WIDTH, GAP = 120, 18, 6


class FindForm(FlaskForm):
    """The address of the customer to show."""

    email = AddressField("E-mail address", required="Type the address.")


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart; `words` is its description."""

    x: int
    y: int
    height: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: title, width and bars."""

    title: str
    width: int
    bars: list[Bar]


def chart(title: str, groups: list[tuple[str, list[tuple[str, int]]]]) -> Chart:
    """Draw bars in groups. A group is a name and its (kind, number) pairs; the highest number has the full height."""
    highest = max((number for _, bars in groups for _, number in bars), default=0) or 1
    x, bars = GAP, []
    for name, group in groups:
        for kind, number in group:
            height = round(number / highest * CHART_HEIGHT)
            bars.append(Bar(x, CHART_HEIGHT - height, height, kind, f"{name}, {kind}: {number}"))
            x += BAR_WIDTH
        x += GAP
    return Chart(title, x, bars)


def charts(numbers: Figures) -> list[Chart]:
    """Draw how many customers may be written to, and, a chart for each topic, how many joined and left."""
    reached = [
        (topic.info.short_label, [(frequency.value, numbers.reached[topic][frequency]) for frequency in SENDING])
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
    """Show figures, and one customer by address, which the audit log records. It never lists addresses."""
    form, now = FindForm(), clock.now()
    found: dict[str, object] | None = None
    status = 200
    if request.method == "POST":
        if form.validate():
            found = _find_customer(form)
        else:
            status = 400
    with app_state().store.reading() as session:
        numbers = figures(session, now=now)
    page = {"numbers": numbers, "charts": charts(numbers), "often": SENDING, "height": CHART_HEIGHT}
    return render_template("desk/customers.html", **page, form=form, found=found, bar=BAR_WIDTH), status


def _find_customer(form: FindForm) -> dict[str, object]:
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
    """Add the customers page to the owner's pages."""
    owner.add_url_rule("/customers", "customers_page", customers_page, methods=["GET", "POST"])
