"""`undisclosed customers show|export|erase` and `undisclosed db purge`."""

from typing import Any

import click
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.console import Context, Refused, confirm, pass_context, print_json
from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.customers.models import Customer
from feedback_app.customers.services import find_customer, suppression_of
from feedback_app.privacy.erasing import CommentsFate, erase_customer
from feedback_app.privacy.export import export_customer
from feedback_app.privacy.retention import purge as purge_store

UNKNOWN = "nobody with this address is known"


def _find(session: Session, text: str) -> Customer | None:
    try:
        return find_customer(session, Address.parse(text))
    except BadAddress as error:
        raise Refused(str(error)) from error


def _export(context: Context, address: str) -> dict[str, Any]:
    with context.store.reading() as session:
        customer = _find(session, address)
        if customer is None:
            barred = suppression_of(session, Address.parse(address))
            held = f"; only a suppression is held ({barred.reason}, since {barred.at:%Y-%m-%d})" if barred else ""
            raise Refused(UNKNOWN + held)
        return export_customer(session, customer)


@click.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def show(context: Context, address: str, *, as_json: bool) -> None:
    """Who somebody is and what they chose."""
    held = _export(context, address)
    summary = {
        **held["person"]["data"],
        "choices": held["choices"]["data"],
        "suppressed": held["suppression"]["data"],
        "letters": len(held["letters"]["data"]),
        "comments": len(held["comments"]["data"]),
    }
    if as_json:
        print_json(summary)
        return
    for name, value in summary.items():
        said = (
            ", ".join(f"{topic} {chosen or 'not chosen'}" for topic, chosen in value.items())
            if name == "choices"
            else value
        )
        click.echo(f"{name.replace('_', ' '):<14} {said if said is not None else '-'}")


@click.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="The same: an export is always one JSON document.")
@pass_context
def export(context: Context, address: str, *, as_json: bool) -> None:  # noqa: ARG001 - always JSON
    """Print everything held about somebody, and why."""
    print_json(_export(context, address))


@click.command()
@click.argument("address")
@click.option(
    "--comments",
    type=click.Choice([fate.value for fate in CommentsFate]),
    default=CommentsFate.NAMELESS.value,
    show_default=True,
    help="Keep their comments without a name, or delete them too.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def erase(context: Context, address: str, *, comments: str, yes: bool, as_json: bool) -> None:
    """Erase somebody; a keyed hash of the address stays, so that an import can't bring them back."""
    confirm("This can't be undone. Erase?", yes=yes)
    with context.store.writing() as session:
        customer = _find(session, address)
        done = erase_customer(session, customer, now=clock.now(), comments=CommentsFate(comments)) if customer else None
    if as_json:
        counts = {"choices": done.choices, "comments": done.comments, "deliveries": done.deliveries} if done else {}
        print_json({"erased": done is not None, **counts})
    elif done is None:
        click.echo(f"Nothing to erase: {UNKNOWN}.")
    else:
        click.echo(
            f"Erased: the address, the name, {done.choices} choices, the identity of {done.comments} comments. "
            f"{done.deliveries} deliveries are kept without a person; a suppression stays."
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def purge(context: Context, *, as_json: bool) -> None:
    """Purge what is no longer needed: requests nobody confirmed for 7 days, comments rejected 30 days ago."""
    with context.store.writing() as session:
        done = purge_store(session, now=clock.now())
    if as_json:
        counts = {"unconfirmed": done.unconfirmed, "letter_requests": done.letter_requests, "comments": done.comments}
        print_json(counts)
    else:
        click.echo(f"Purged {done}.")
