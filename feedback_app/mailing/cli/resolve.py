"""`undisclosed mail resolve`: settle what is in doubt."""

import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from io import BufferedReader, TextIOWrapper
from pathlib import Path

import click

from feedback_app import clock
from feedback_app.console import Context, NeedsAPerson, Refused, confirm, pass_context, print_json
from feedback_app.mailing.bounces import postfix_log
from feedback_app.mailing.bounces.postfix_log import CannotResend, Settled, Word
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.services import MailingRefused
from feedback_app.mailing.models import DeliveryState

# What no line of a log has in it, and whatever is packed has soon.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LOOK = 4096


class NoLog(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A file is no log that can be read; one line that says what it needs."""


@click.command()
@click.argument("slug")
@click.option("--accepted", is_flag=True, help="They arrived: never send them again.")
@click.option("--resend", is_flag=True, help="They did not arrive: send them again.")
@click.option("--from-log", "log", type=click.Path(path_type=Path), help="Ask Postfix's log, by Message-ID.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def resolve(
    context: Context, slug: str, *, accepted: bool, resend: bool, log: Path | None, yes: bool, as_json: bool
) -> None:
    """Settle the letters of a mailing that are in doubt: nobody knows whether they arrived."""
    # Each by itself: of two words, the one that was typed last would win without a sound.
    if accepted + resend + (log is not None) != 1:
        message = "say one of --accepted, --resend and --from-log FILE, and no more than one"
        raise click.UsageError(message)
    word = Word.RESEND if resend else Word.ACCEPTED if accepted else None
    if resend:
        confirm("Who has got it already gets it twice. Send again?", yes=yes)
    try:
        done = _settle(context, slug, word, log)
    except (MailingRefused, CannotResend, NoLog) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{log}: {error.strerror}"
        raise Refused(message) from error
    if as_json:
        print_json({"slug": slug, **asdict(done)})
    elif done == Settled():
        click.echo(f"{slug}: nothing is in doubt.")
    else:
        click.echo(f"{slug}: {done.accepted} accepted, {done.queued} to be sent again, {done.in_doubt} still in doubt.")
    if done.in_doubt:
        raise NeedsAPerson(_why_in_doubt(slug, done))


def _why_in_doubt(slug: str, done: Settled) -> str:
    why = []
    if unnamed := done.in_doubt - done.cut_off:
        why.append(f"the log does not name {unnamed} of the letters in doubt: give an older one")
    if done.cut_off:
        why.append(
            f"the log shows the beginning of {done.cut_off} of the letters in doubt, and by its times ends before an "
            "hour was over: give it with what follows"
        )
    return (
        f"{'; '.join(why)}; or say --accepted or --resend (undisclosed mail list {slug} --state "
        f"{DeliveryState.UNKNOWN})"
    )


def _settle(context: Context, slug: str, word: Word | None, log: Path | None) -> Settled:
    with ExitStack() as stack:
        # Opened before the store: a file that is not there holds nobody up.
        lines: Iterable[str] = _lines(log, stack.enter_context(log.open("rb"))) if log else ()
        session = stack.enter_context(context.store.writing())
        mailing = services.find_mailing(session, slug)
        if word:
            return postfix_log.settle(session, mailing, word, now=clock.now())
        return postfix_log.settle_from_log(session, mailing, lines, now=clock.now())


def _lines(log: Path, file: BufferedReader) -> Iterable[str]:
    """The lines of a log. Raises NoLog for a file that is packed."""
    if _BINARY.search(file.peek(_LOOK)[:_LOOK]):
        message = f"{log} is not a text log: unpack it first (`zcat {log.name} > mail.log`, say)"
        raise NoLog(message)
    return TextIOWrapper(file, encoding="utf-8", errors="replace")
