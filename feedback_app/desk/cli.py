"""`undisclosed owner`: who may sign in."""

import sys

import click

from feedback_app import clock
from feedback_app.audit_log import COMMAND
from feedback_app.console import Context, Refused, pass_context, print_json
from feedback_app.desk.models import Owner
from feedback_app.desk.passkeys import count_passkeys
from feedback_app.desk.services import OwnerRefused, create_owner, find_owner, forget_factor, list_owners, new_password
from feedback_app.plurals import counted

ASK = "type it at a terminal, or give it on standard input with --password-stdin"
from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password's one line from standard input.")


@click.group()
def owner() -> None:
    """Owners: who may sign in at /feedback/admin/."""


@owner.command("create")
@click.argument("username")
@from_stdin
@pass_context
def create_command(context: Context, username: str, *, password_stdin: bool) -> None:
    """Make an owner, who sets up a second factor when first signing in."""
    password = _password(asked=password_stdin)
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
                    "username": one.username,
                    "second_factor": one.totp_secret is not None,
                    "passkeys": passkeys.get(one.id, 0),
                }
                for one in owners
            ]
        )
        return
    for one in owners:
        more = f" and {counted(passkeys[one.id], 'passkey')}" if one.id in passkeys else ""
        click.echo(f"{one.username}  {'with' if one.totp_secret else 'without'} a second factor{more}")
    click.echo(f"{counted(len(owners), 'owner')}.")


@owner.command("password")
@click.argument("username")
@from_stdin
@pass_context
def password_command(context: Context, username: str, *, password_stdin: bool) -> None:
    """Give an owner a new password; every session of theirs ends."""
    password = _password(asked=password_stdin)
    try:
        with context.store.writing() as session:
            new_password(session, _find(find_owner(session, username)), password, who=COMMAND, now=clock.now())
    except OwnerRefused as error:
        raise Refused(str(error)) from error
    click.echo("1 password changed; every session of that owner has ended.")


@owner.command("forget-factor")
@click.argument("username")
@pass_context
def forget_factor_command(context: Context, username: str) -> None:
    """Take a lost second factor away; a new one is set up at the next sign-in."""
    with context.store.writing() as session:
        passkeys = forget_factor(session, _find(find_owner(session, username)), who=COMMAND, now=clock.now())
    click.echo(
        f"1 second factor taken away, with {counted(passkeys, 'passkey')} and the recovery codes; "
        "every session of that owner has ended."
    )


def _find(found: Owner | None) -> Owner:
    if found is None:
        message = "there is no such owner: `undisclosed owner list` shows those there are"
        raise Refused(message)
    return found


def _password(*, asked: bool) -> str:
    if asked:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        message = f"a password is needed: {ASK}"
        raise Refused(message)
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
