"""Changing the address: /feedback/preferences/TOKEN/address, and /feedback/address/old/TOKEN and /new/TOKEN.

The customer asks on the first page; two letters have links to the others, which act on POST.
"""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.customers.address_changes import (
    AddressSide,
    ChangeResult,
    accept_change,
    addresses_of_change,
    decline_change,
    request_change,
)
from feedback_app.customers.forms import NewAddressForm
from feedback_app.customers.models import AddressChange, Customer
from feedback_app.customers.services import address_of
from feedback_app.customers.views.link_pages import customer_of, form_problem, link_blueprint, read_link
from feedback_app.security.link_lifetimes import LINK_DAYS
from feedback_app.security.tokens import BadToken, Purpose
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm

address_change_pages = link_blueprint("address_change")

PURPOSES = {AddressSide.OLD: Purpose.CHANGE_FROM, AddressSide.NEW: Purpose.CHANGE_TO}


@address_change_pages.route("/preferences/<token>/address", methods=["GET", "POST"])
def ask(token: str) -> ResponseReturnValue:
    """Ask for another address. The answer does not depend on whom it belongs to."""
    claim, now = read_link(token, Purpose.PREFERENCES), clock.now()
    with app_state().store.reading() as session:
        address = address_of(session, customer_of(session, claim))
    form = NewAddressForm(address)
    page = {"form": form, "masked": address.masked, "here": url_for("preferences.centre", token=token)}
    if request.method != "POST":
        return render_template("customers/new_address.html", **page, problem=None)
    if not form.validate():
        return render_template("customers/new_address.html", **page, problem=form_problem(form)), 400
    with app_state().store.writing() as session:
        customer = customer_of(session, claim, lock=True)
        letters = request_change(session, customer, form.email.typed, now=now)
    typed = form.email.typed.masked
    return render_template(
        "customers/new_address_asked.html", **page, typed=typed, letters=letters, days=LINK_DAYS[Purpose.CHANGE_TO]
    )


@address_change_pages.route("/address/old/<token>", methods=["GET", "POST"])
def from_old(token: str) -> ResponseReturnValue:
    """Show the question of the letter to the old address; act on POST."""
    return _answer(token, AddressSide.OLD)


@address_change_pages.route("/address/new/<token>", methods=["GET", "POST"])
def to_new(token: str) -> ResponseReturnValue:
    """Show the question of the letter to the new address; act on POST."""
    return _answer(token, AddressSide.NEW)


def _answer(token: str, side: AddressSide) -> ResponseReturnValue:
    claim, form = read_link(token, PURPOSES[side]), ButtonForm()
    with app_state().store.reading() as session:
        change = _change_of(session, claim.person)
        both = addresses_of_change(session, change)
        said = change.old_said_at if side is AddressSide.OLD else change.new_said_at
        page: dict[str, object] = {"form": form, "old": both.old.masked, "new": both.new.masked, "side": side.value}
        page |= {"done": change.done_at is not None, "said": said is not None}
    if request.method != "POST":
        return render_template("customers/change_address.html", **page, problem=None)
    if not form.validate():
        return render_template("customers/change_address.html", **page, problem=form_problem(form)), 400
    no = request.form.get("answer") == "no"

    def act(session: Session) -> ChangeResult | None:
        change = _change_of(session, claim.person, lock=True)
        if no and change.done_at is None:
            decline_change(session, change)
            return None
        return accept_change(session, change, side, now=clock.now())

    step = app_state().store.write(act)
    status = 409 if step in {ChangeResult.TAKEN, ChangeResult.BARRED} else 200
    return render_template("customers/address_step.html", **page, step=step.value if step else "kept"), status


def _change_of(session: Session, number: int, *, lock: bool = False) -> AddressChange:
    """Return the change of a link. Raises BadToken when a newer one has replaced it."""
    change = session.get(AddressChange, number)
    if change is None:
        raise BadToken
    if lock:
        # The customer is locked first, as everywhere that choices change: so two transactions can't deadlock.
        session.get_one(Customer, change.customer_id, with_for_update=True)
        session.refresh(change, with_for_update=True)
    return change
