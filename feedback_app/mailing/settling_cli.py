"""`undisclosed mail resolve`: settle what is in doubt."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from feedback_app import clock
from feedback_app.console import Context, NeedsAPerson, Refused, confirm, pass_context, print_json
from feedback_app.mailing import services, settling
from feedback_app.mailing.services import MailingRefused
from feedback_app.mailing.settling import CannotResend, Settled, Word


@click.command()
@click.argument("slug")
@click.option("--accepted", "word", flag_value=Word.ACCEPTED.value, help="They arrived: never send them again.")
@click.option("--resend", "word", flag_value=Word.RESEND.value, help="They did not arrive: send them again.")
@click.option("--from-log", "log", type=click.Path(path_type=Path), help="Ask Postfix's log, by Message-ID.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def resolve(context: Context, slug: str, *, word: str | None, log: Path | None, yes: bool, as_json: bool) -> None:
    """Settle the letters of a mailing that are in doubt: nobody knows whether they arrived."""
    if (word is None) == (log is None):
        message = "say one of --accepted, --resend and --from-log FILE"
        raise click.UsageError(message)
    if word == Word.RESEND:
        confirm("Who has got it already gets it twice. Send again?", yes=yes)
    try:
        done = _settle(context, slug, Word(word) if word else None, log)
    except (MailingRefused, CannotResend) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{log}: {error.strerror}"
        raise Refused(message) from error
    if as_json:
        print_json({"slug": slug, **asdict(done)})
    else:
        click.echo(f"{slug}: {done.accepted} accepted, {done.queued} to be sent again, {done.in_doubt} still in doubt.")
    if done.in_doubt:
        message = (
            f"the log does not name {done.in_doubt} of the letters in doubt: give an older one, or say --accepted or "
            f"--resend (undisclosed mail list {slug} --state unknown)"
        )
        raise NeedsAPerson(message)


def _settle(context: Context, slug: str, word: Word | None, log: Path | None) -> Settled:
    with ExitStack() as stack:
        # Opened before the store: a file that is not there holds nobody up.
        lines: Iterator[str] = iter(stack.enter_context(log.open(encoding="utf-8", errors="replace")) if log else ())
        session = stack.enter_context(context.store.writing())
        mailing = services.find_mailing(session, slug)
        if word:
            return settling.settle(session, mailing, word, now=clock.now())
        return settling.settle_from_log(session, mailing, lines, now=clock.now())
