"""`undisclosed mail`: cancel, resume, status and list, for mailings that are held or were sent."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice

import click
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.clock import rfc3339
from feedback_app.console import Context, Refused, pass_context, print_json
from feedback_app.customers.services import person
from feedback_app.mailing.delivery import ledger
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.canary import waits_for_copy
from feedback_app.mailing.mailings.services import MailingRefused
from feedback_app.mailing.models import DeliveryState, Mailing, MailingState
from feedback_app.plurals import counted

ERASED = "(erased)"
# More addresses are not printed on a terminal; `mail list` and `--json` have all of them.
MOST_PRINTED = 100


@click.command()
@click.argument("slug")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_context
def cancel(context: Context, slug: str, *, as_json: bool) -> None:
    """Unsend a mailing.

    In its hold, nobody gets anything. Later, the letters that have not left stay here.
    """
    try:
        with context.store.writing() as session:
            done = services.cancel(session, slug, now=clock.now())
    except MailingRefused as error:
        raise Refused(str(error)) from error
    # In a second transaction: no worker has to wait until the addresses are decrypted.
    with context.store.reading() as session:
        mailing = services.find_mailing(session, slug)
        got = _addresses(session, mailing, DeliveryState.ACCEPTED)
        in_doubt = _addresses(session, mailing, DeliveryState.SUBMITTING, DeliveryState.UNKNOWN)
        if as_json:
            about = {"slug": slug, "state": MailingState.CANCELLED, **asdict(done)}
            print_json({**about, "got_it": list(got), "may_have_got_it": list(in_doubt)})
        elif done.accepted or done.in_doubt:
            numbers = f"{done.accepted} had left, {done.in_doubt} may have, {done.stopped} will not"
            click.echo(f"{slug} is cancelled. {numbers}.")
            _print_addresses("Who got it", done.accepted, got, f"undisclosed mail list {slug} --state accepted")
            _print_addresses("Who may have got it", done.in_doubt, in_doubt, f"undisclosed mail list {slug}")
        else:
            click.echo(f"{slug} is cancelled. Nobody got anything.")


@click.command()
@click.argument("slug")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_context
def resume(context: Context, slug: str, *, as_json: bool) -> None:
    """Continue a halted mailing."""
    try:
        with context.store.writing() as session:
            services.resume(session, slug)
    except MailingRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json({"slug": slug, "state": MailingState.SENDING})
    else:
        click.echo(f"{slug} goes on.")


@click.command()
@click.argument("slug")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_context
def status(context: Context, slug: str, *, as_json: bool) -> None:
    """Show how far a mailing is, in numbers."""
    try:
        with context.store.reading() as session:
            mailing = services.find_mailing(session, slug)
            found = services.counts(session, mailing)
            doubtful = list(_addresses(session, mailing, DeliveryState.UNKNOWN))
            waits = waits_for_copy(session, mailing, now=clock.now())
    except MailingRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        counts = {state.value: number for state, number in found.items()}
        about = {"slug": slug, "state": mailing.state, "counts": counts, "reason": mailing.reason}
        print_json({**about, "unknown": doubtful, "waits_for_copy": waits})
        return
    click.echo(f"{slug} is {mailing.state}: {in_numbers(found)}.")
    if mailing.state is MailingState.HELD:
        click.echo(f"Held until {rfc3339(mailing.due_at)}. To unsend it: undisclosed mail cancel {slug}")
    if waits:
        click.echo("It waits for the owner's copy to leave, for half an hour at most: until then nobody gets theirs.")
    if mailing.state is MailingState.HALTED:
        click.echo(f"Why: {mailing.reason}. When it is mended: undisclosed mail resume {slug}")
    if doubtful:
        click.echo(f"In doubt, and never sent again by themselves ({len(doubtful)}):")
        for address in doubtful:
            click.echo(f"  {address}")
        click.echo(f"To resolve them: undisclosed mail resolve {slug} --from-log FILE, --accepted or --resend")


@click.command("list")
@click.argument("slug")
@click.option("--state", type=click.Choice([state.value for state in DeliveryState]), help="Only in this state.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_context
def list_command(context: Context, slug: str, state: str | None, *, as_json: bool) -> None:
    """List who got a mailing, and who did not and why."""
    try:
        with context.store.reading() as session:
            mailing = services.find_mailing(session, slug)
            rows = [
                {
                    "address": person(session, customer).address if customer else None,
                    "state": delivery.state,
                    "reason": delivery.reason,
                    "message_id": delivery.message_id,
                    "attempts": delivery.attempts,
                }
                for delivery, customer in ledger.deliveries(session, mailing, DeliveryState(state) if state else None)
            ]
    except MailingRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['state']:<10}  {row['address'] or ERASED}  {row['reason'] or ''}".rstrip())
    click.echo(f"{counted(len(rows), 'delivery', 'deliveries')}.")


def in_numbers(found: dict[DeliveryState, int]) -> str:
    """Return how many deliveries are in each state, in words."""
    return ", ".join(f"{number} {state}" for state, number in found.items() if number) or "no deliveries"


def _addresses(session: Session, mailing: Mailing, *states: DeliveryState) -> Iterator[str]:
    """Yield the addresses of a mailing's deliveries in some states."""
    for state in states:
        for _, customer in ledger.deliveries(session, mailing, state):
            yield person(session, customer).address if customer else ERASED


def _print_addresses(heading: str, number: int, addresses: Iterator[str], command: str) -> None:
    """Print addresses below a heading; of very many, the first ones and the command that lists all."""
    if number:
        click.echo(f"{heading} ({number}):")
    for address in islice(addresses, MOST_PRINTED):
        click.echo(f"  {address}")
    if number > MOST_PRINTED:
        click.echo(f"  and {number - MOST_PRINTED} more: {command}")
