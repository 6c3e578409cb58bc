"""`undisclosed customers show|export|erase|evidence|verify` and `undisclosed db purge`."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.audit_log import COMMAND, Act, note
from feedback_app.console import Context, Refused, confirm, pass_context, print_json
from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.customers.models import Customer
from feedback_app.customers.services import find_customer, suppression_of
from feedback_app.plurals import counted
from feedback_app.privacy.erasing import CommentsFate, erase_customer
from feedback_app.privacy.evidence import BadEvidence, evidence_of, public_keys
from feedback_app.privacy.evidence import verify as verify_evidence
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
            bar = f"; only a suppression is held ({barred.reason}, since {barred.at:%Y-%m-%d})" if barred else ""
            raise Refused(UNKNOWN + bar)
        held = export_customer(session, customer)
    _note_shown(context, "what is held about one customer")
    return held


@click.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def show(context: Context, address: str, *, as_json: bool) -> None:
    """Show a customer's data and choices."""
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
        click.echo(f"{name.replace('_', ' '):<14} {_in_words(name, value)}")


def _in_words(name: str, value: Any) -> str:  # noqa: ANN401 - any value of the export
    """Return a value of the summary in words."""
    if name == "choices":
        return ", ".join(f"{topic} {chosen or 'not chosen'}" for topic, chosen in value.items())
    if name == "suppressed" and value:
        return f"{value['reason']}, since {value['at']}"
    return "-" if value is None else str(value)


@click.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="The same: an export is always one JSON document.")
@pass_context
def export(context: Context, address: str, *, as_json: bool) -> None:  # noqa: ARG001 - always JSON
    """Print everything held about a customer, and why."""
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
    """Erase a customer. A keyed hash of the address stays, so that an import can't bring them back."""
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
            f"Erased: the address, the name, {counted(done.choices, 'choice')}, "
            f"the author of {counted(done.comments, 'comment')}. "
            f"Kept: {counted(done.deliveries, 'delivery', 'deliveries')} without the customer, and a suppression."
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def purge(context: Context, *, as_json: bool) -> None:
    """Purge old data: requests unconfirmed for 7 days, comments rejected 30 days ago."""
    with context.store.writing() as session:
        done = purge_store(session, now=clock.now())
    if as_json:
        counts = {"unconfirmed": done.unconfirmed, "letter_requests": done.letter_requests, "comments": done.comments}
        print_json(counts)
    else:
        click.echo(f"Purged {done}.")


@click.command()
@click.argument("address")
@pass_context
def evidence(context: Context, address: str) -> None:
    """Print what a customer agreed to, when, how and in which words: a signed document."""
    with context.store.reading() as session:
        customer = _find(session, address)
        if customer is None:
            message = f"{UNKNOWN}; the record of an erased customer no longer leads to them"
            raise Refused(message)
        document = evidence_of(session, customer, context.settings, context.signer, now=clock.now())
    _note_shown(context, "consent evidence of one customer")
    click.echo(document, nl=False)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--public-key", help="Trust this key (base64), instead of the shop's own.")
@pass_context
def verify(context: Context, file: Path, public_key: str | None) -> None:
    """Check that a document of evidence is unchanged since it was signed, and with which key."""
    try:
        document = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{file}: {reason}"
        raise Refused(message) from error
    try:
        verified = verify_evidence(document, [public_key] if public_key else public_keys(context.signer))
    except BadEvidence as error:
        message = f"{file}: NOT good: {error}"
        raise Refused(message) from error
    click.echo(f"Good: as it was signed, with the key {verified.public_key}.")


@click.command("evidence-key")
@pass_context
def evidence_key(context: Context) -> None:
    """Print the public key that evidence is signed with now, then the older ones."""
    for key in public_keys(context.signer):
        click.echo(key)


def _note_shown(context: Context, what: str) -> None:
    with context.store.writing() as session:
        note(session, COMMAND, Act.ADDRESS_SHOWN, what, now=clock.now())
