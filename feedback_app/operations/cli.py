"""`undisclosed db upgrade|backup|restore` and `undisclosed doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.console import Context, NeedsAPerson, Refused, confirm, pass_context, print_json, progress_bar
from feedback_app.db.setup import upgrade_store
from feedback_app.operations import doctor
from feedback_app.operations.backup import BackupProblem, back_up
from feedback_app.operations.key_rotation import RotationRefused, rotate_keys
from feedback_app.operations.restore import Plan, Restored, plan_restore
from feedback_app.operations.restore import restore as restore_store
from feedback_app.publishing.incremental import forget_site
from feedback_app.security.keys import ADDRESS_VARIABLE, SECRET_VARIABLE

LOST = "unsubscribes and erasures that came after the backup could not be carried over"
SHOWN = {"customers": "customers", "comments": "comments", "deliveries": "deliveries"}


@click.group()
def db() -> None:
    """The store."""


@db.command()
@pass_context
def upgrade(context: Context) -> None:
    """Bring the store's tables to this program's version; safe to run twice."""
    before, after = upgrade_store(context.settings)
    click.echo(f"The store is at {after} (it was at {before or 'nothing'}).")


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace FILE when it is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def backup(context: Context, file: Path, *, overwrite: bool, as_json: bool) -> None:
    """Write a backup of the store into FILE while the shop works, and read it again. The keys are not in it."""
    try:
        contents = back_up(context.store, file, overwrite=overwrite)
    except BackupProblem as error:
        raise Refused(str(error)) from error
    size, where = file.stat().st_size, _where_keys_are(context.settings)
    counts = {name: contents.rows.get(name, 0) for name in SHOWN}
    if as_json:
        print_json({"file": str(file), "bytes": size, **counts, "revision": contents.revision, "keys": where})
        return
    said = ", ".join(f"{counts[name]} {word}" for name, word in SHOWN.items())
    click.echo(f"{file}: {said}; {size} bytes, read again and found whole.")
    click.echo(f"The keys are not in it, and nobody can read it without them. They are in {', '.join(where)}.")


def _where_keys_are(settings: Settings) -> list[str]:
    return [
        ADDRESS_VARIABLE if settings.address_key else str(settings.keys / "address.key"),
        SECRET_VARIABLE if settings.secret_key else str(settings.keys / "secret.key"),
    ]


@db.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace a store that has data in it; it is kept beside.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def restore(context: Context, file: Path, *, overwrite: bool, yes: bool, as_json: bool) -> None:
    """Put the backup in FILE in the store's place.

    Unsubscribes, erasures and what was sent since are carried over from the store that is replaced.
    """
    settings = context.settings
    try:
        plan = plan_restore(settings, file)
    except BackupProblem as error:
        raise Refused(str(error)) from error
    if plan.replaces:
        if not overwrite:
            held = "has data in it" if plan.holds_data else "is there and can't be read"
            message = f"the store {held}: say --overwrite to replace it (it is kept beside)"
            raise Refused(message)
        confirm("The store will be as it was when the backup was made. Restore?", yes=yes)
    try:
        done = restore_store(settings, plan, now=clock.now())
    except BackupProblem as error:
        raise Refused(str(error)) from error
    # Threads may have the numbers again that they had before, with other comments: only a build can tell.
    forget_site(settings)
    if as_json:
        print_json(_document(done))
    else:
        _tell(plan, done)
    if plan.replaces and done.carried is None:
        message = f"restored, but the store before could not be read: {LOST}"
        raise NeedsAPerson(message)


def _document(done: Restored) -> dict[str, Any]:
    return {
        "restored": {name: done.rows.get(name, 0) for name in SHOWN},
        "carried_over": asdict(done.carried) if done.carried else None,
        "stopped": asdict(done.stopped),
        "kept": str(done.kept) if done.kept else None,
    }


def _tell(plan: Plan, done: Restored) -> None:
    said = ", ".join(f"{done.rows.get(name, 0)} {word}" for name, word in SHOWN.items())
    click.echo(f"Restored from {plan.file}: {said}.")
    if done.carried:
        over = done.carried
        click.echo(
            f"Carried over from the store before: {over.suppressions} suppressions, {over.erased} erasures, "
            f"{over.choices} noes, {over.comments} comments taken down, {over.mailings} mailings, "
            f"{over.deliveries} deliveries, {over.owners} owners' ways to sign in, "
            f"{over.letters} lines on what came back, was told and was stopped."
        )
    elif not plan.replaces:
        click.echo(f"There was no store before, so {LOST}.")
    stopped = done.stopped
    if stopped.mailings or stopped.in_doubt or stopped.letter_requests:
        click.echo(
            f"Stopped, because it may have happened since: {stopped.mailings} mailings, {stopped.in_doubt} letters on "
            f"their way, {stopped.letter_requests} single letters."
        )
    if stopped.sessions:
        click.echo(f"{stopped.sessions} sessions of owners have ended: sign in again.")
    if done.kept:
        click.echo(f"The store before is in {done.kept}: delete it when you don't need it any more.")
    click.echo("Build the site again: `undisclosed build`.")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def doctor_command(context: Context, *, as_json: bool) -> None:
    """Look at keys, store, workers, mailings and settings, and say what to do."""
    findings = doctor.examine(context.settings, now=clock.now())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.level:<8} {finding.about:<9} {finding.sentence}")
    problems = sum(finding.level is doctor.Level.PROBLEM for finding in findings)
    if problems:
        message = f"{problems} {'thing needs' if problems == 1 else 'things need'} you: see above"
        raise NeedsAPerson(message)


@db.command("rotate-keys")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def rotate_keys_command(context: Context, *, as_json: bool) -> None:
    """Seal every address and name with a new key, while the shop works; run again, it continues where it ended."""
    try:
        with progress_bar("Sealing anew") as tell:
            done = rotate_keys(context.settings, context.store, progress=tell)
    except RotationRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json(asdict(done))
        return
    begun = "An earlier rotation is ended (run this again for a new key)" if done.continued else "The key is rotated"
    where = _where_keys_are(context.settings)[0]
    click.echo(f"{begun}: {done.resealed} customers sealed anew, {done.kept} keys on the ring.")
    click.echo(f"Keep a copy of {where} apart, as it is now; backups made before need the key before.")
