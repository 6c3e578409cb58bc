"""The command `undisclosed owner`: who may sign in to the desk."""

import sys

import click

from feedback_app import clock
from feedback_app.audit_log import COMMAND
from feedback_app.console import Context, Refused, pass_context, print_json
from feedback_app.desk.models import Owner
from feedback_app.desk.passkeys import count_passkeys
from feedback_app.desk.services import (
    OwnerRefused,
    change_password,
    create_owner,
    find_owner,
    list_owners,
    remove_second_factor,
)
from feedback_app.plurals import counted

HOW_TO_GIVE_ONE = "type it at a terminal, or give it on standard input with --password-stdin"
password_stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password's one line from standard input."
)


@click.group()
def owner() -> None:
    """Manage the owners, who may sign in at /feedback/admin/."""


@owner.command("create")
@click.argument("username")
@password_stdin_option
@pass_context
def create_command(context: Context, username: str, *, password_stdin: bool) -> None:
    """Create an owner.

    The owner sets up a second factor at the first sign-in.
    """
    password = _read_password(from_stdin=password_stdin)
    try:
        with context.store.writing() as session:
            create_owner(session, username, password, who=COMMAND, now=clock.now())
    except OwnerRefused as error:
        raise Refused(str(error)) from error
    click.echo(f"1 owner made: {username}. Sign in at {context.settings.site_url}/feedback/admin/ .")


@owner.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def list_command(context: Context, *, as_json: bool) -> None:
    """List the owners."""
    with context.store.reading() as session:
        owners = list_owners(session)
        passkeys = count_passkeys(session)
    if as_json:
        print_json(
            [
                {
                    "username": row.username,
                    "second_factor": row.totp_secret is not None,
                    "passkeys": passkeys.get(row.id, 0),
                }
                for row in owners
            ]
        )
        return
    for row in owners:
        with_passkeys = f" and {counted(passkeys[row.id], 'passkey')}" if row.id in passkeys else ""
        click.echo(f"{row.username}  {'with' if row.totp_secret else 'without'} a second factor{with_passkeys}")
    click.echo(f"{counted(len(owners), 'owner')}.")


@owner.command("password")
@click.argument("username")
@password_stdin_option
@pass_context
def password_command(context: Context, username: str, *, password_stdin: bool) -> None:
    """Set an owner's new password, and end their sessions."""
    password = _read_password(from_stdin=password_stdin)
    try:
        with context.store.writing() as session:
            change_password(session, _existing(find_owner(session, username)), password, who=COMMAND, now=clock.now())
    except OwnerRefused as error:
        raise Refused(str(error)) from error
    click.echo("1 password changed; every session of that owner has ended.")


@owner.command("forget-factor")
@click.argument("username")
@pass_context
def forget_factor_command(context: Context, username: str) -> None:
    """Remove a lost second factor, and end the owner's sessions.

    A new one is set up at the next sign-in.
    """
    with context.store.writing() as session:
        passkeys = remove_second_factor(session, _existing(find_owner(session, username)), who=COMMAND, now=clock.now())
    click.echo(
        f"1 second factor taken away, with {counted(passkeys, 'passkey')} and the recovery codes; "
        "every session of that owner has ended."
    )


def _existing(found: Owner | None) -> Owner:
    if found is None:
        message = "there is no such owner: `undisclosed owner list` shows those there are"
        raise Refused(message)
    return found


def _read_password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        message = f"a password is needed: {HOW_TO_GIVE_ONE}"
        raise Refused(message)
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
