"""`undisclosed mail resolve`: resolve the letters in doubt."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from feedback_app import clock
from feedback_app.console import Context, NeedsAPerson, Refused, confirm, pass_context, print_json
from feedback_app.mailing.bounces.postfix_log import LogUnreadable, open_log
from feedback_app.mailing.bounces.unknown_letters import (
    CannotResend,
    Resolution,
    Resolved,
    resolve_all,
    resolve_from_log,
)
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.services import MailingRefused
from feedback_app.mailing.models import DeliveryState


@click.command()
@click.argument("slug")
@click.option("--accepted", is_flag=True, help="They arrived: never send them again.")
@click.option("--resend", is_flag=True, help="They did not arrive: send them again.")
@click.option("--from-log", "log", type=click.Path(path_type=Path), help="Look in Postfix's log, by Message-ID.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@pass_context
def resolve(
    context: Context, slug: str, *, accepted: bool, resend: bool, log: Path | None, yes: bool, as_json: bool
) -> None:
    """Resolve a mailing's letters in doubt.

    The connection broke before the server's answer, so it is not known whether they arrived.
    """
    # An option each, not one with a value: of two values, the last one typed would win without a word.
    if accepted + resend + (log is not None) != 1:
        message = "say one of --accepted, --resend and --from-log FILE, and no more than one"
        raise click.UsageError(message)
    if resend:
        confirm("Who has got it already gets it twice. Send again?", yes=yes)
    try:
        done = _resolve(context, slug, Resolution.RESEND if resend else Resolution.ACCEPTED, log)
    except (MailingRefused, CannotResend, LogUnreadable) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{log}: {error.strerror}"
        raise Refused(message) from error
    if as_json:
        print_json({"slug": slug, **asdict(done)})
    elif done == Resolved():
        click.echo(f"{slug}: nothing is in doubt.")
    else:
        click.echo(f"{slug}: {done.accepted} accepted, {done.queued} to be sent again, {done.in_doubt} still in doubt.")
    if done.in_doubt:
        raise NeedsAPerson(_why_in_doubt(slug, done))


def _resolve(context: Context, slug: str, resolution: Resolution, log: Path | None) -> Resolved:
    with ExitStack() as stack:
        # The log is opened before the store is locked: a wrong file keeps no worker waiting.
        lines = stack.enter_context(open_log(log)) if log else None
        session = stack.enter_context(context.store.writing())
        mailing = services.find_mailing(session, slug)
        if lines is None:
            return resolve_all(session, mailing, resolution, now=clock.now())
        return resolve_from_log(session, mailing, lines, now=clock.now())


def _why_in_doubt(slug: str, done: Resolved) -> str:
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
