"""`undisclosed bounces`: what comes back."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import click
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.console import Context, Refused, pass_context, print_json, progress_bar
from feedback_app.mailing.bounces.mailbox import MailboxRefused, messages
from feedback_app.mailing.bounces.parser import ReturnedReport, UnreadableReport, read_report
from feedback_app.mailing.bounces.services import Processed, note
from feedback_app.mailing.return_addresses import ReturnAddresses
from feedback_app.plurals import counted


@click.group()
def bounces() -> None:
    """Bounces and complaints."""


@bounces.command()
@click.argument("paths", metavar="MAILDIR-OR-FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def process(context: Context, paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Read what came back (a Maildir, an mbox, one message), and bar addresses that take no letters or complained.

    Nothing is deleted, and reading it twice changes nothing.
    """
    returns = ReturnAddresses(context.signer, context.settings.mail_from)
    done = Processed()
    try:
        with progress_bar("Reading") as tell:
            for path in paths:
                for number, message in enumerate(messages(path), 1):
                    tell(number, number + 1)
                    try:
                        report = read_report(message, returns)
                    except UnreadableReport:
                        done = replace(done, unreadable=done.unreadable + 1)
                        continue
                    done = context.store.write(partial(_note, report, done))
    except MailboxRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json(asdict(done))
        return
    click.echo(
        f"{done.hard} hard, {done.soft} soft, {counted(done.complaints, 'complaint')}; "
        f"{counted(done.suppressed, 'address', 'addresses')} suppressed. "
        f"{done.known} known from before, {done.others} not about a letter of the shop's."
    )
    if done.unreadable:
        click.echo(f"{done.unreadable} could not be read: they hold to no standard. They lie where they were.")


def _note(report: ReturnedReport | None, so_far: Processed, session: Session) -> Processed:
    return note(session, report, so_far, now=clock.now())
