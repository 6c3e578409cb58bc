"""`undisclosed bounces`: record bounces and complaints."""

from dataclasses import asdict
from pathlib import Path

import click

from feedback_app.console import Context, Refused, pass_context, print_json, progress_bar
from feedback_app.mailing.bounces.mailbox import MailboxRefused
from feedback_app.mailing.bounces.services import process_mailboxes
from feedback_app.mailing.return_addresses import ReturnAddresses
from feedback_app.plurals import counted


@click.group()
def bounces() -> None:
    """Record bounces and complaints."""


@bounces.command()
@click.argument("paths", metavar="MAILDIR-OR-FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_context
def process(context: Context, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Record the reports in a mailbox.

    Reads a Maildir, an mbox or a file with one message. Addresses that take no letters or complained are not written
    to again. Nothing is deleted, and reading a message twice changes nothing.
    """
    returns = ReturnAddresses(context.signer, context.settings.mail_from)
    try:
        with progress_bar("Reading") as tell:
            counts = process_mailboxes(context.store, paths, returns, tell=tell)
    except MailboxRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json(asdict(counts))
        return
    click.echo(
        f"{counts.hard} hard, {counts.soft} soft, {counted(counts.complaints, 'complaint')}; "
        f"{counted(counts.suppressed, 'address', 'addresses')} suppressed. "
        f"{counts.known} known from before, {counts.others} not about a letter of the shop's."
    )
    if counts.unreadable:
        click.echo(f"{counts.unreadable} could not be read: they hold to no standard. They lie where they were.")
