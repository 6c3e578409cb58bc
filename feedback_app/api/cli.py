"""The commands `undisclosed keys` and `undisclosed audience`, for the shop's other programs."""

import json

import click

from feedback_app import clock
from feedback_app.api.lists import audience_rows, csv_lines, json_lines
from feedback_app.api.models import Scope
from feedback_app.api.services import KeyRefused, list_keys, make_key, revoke_key
from feedback_app.audit_log import COMMAND, Act, note
from feedback_app.console import Context, Refused, pass_context, print_json
from feedback_app.customers.topics import Topic
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.plurals import counted

TOPICS = click.Choice([topic.value for topic in Topic])
FORMATS = click.Choice(["csv", "jsonl"])


@click.group()
def keys() -> None:
    """Manage the keys of other programs (docs/other-mailers.md)."""


@keys.command("new")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What the key may be used for; can be given twice.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def new(context: Context, name: str, scopes: tuple[str, ...], *, as_json: bool) -> None:
    """Make a key and show it, once: only its hash is stored."""
    try:
        with context.store.writing() as session:
            key = make_key(session, name, [Scope(scope) for scope in scopes], who=COMMAND, now=clock.now())
    except KeyRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json({"name": name, "scopes": sorted(set(scopes)), "key": key})
        return
    click.echo(
        f"1 key made: {name}, for {' and '.join(sorted(set(scopes)))}. Keep it now, it is not shown again:\n{key}"
    )


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def list_command(context: Context, *, as_json: bool) -> None:
    """List the keys, each with its name and its first letters."""
    with context.store.reading() as session:
        rows = list_keys(session)
    if as_json:
        print_json(
            [
                {
                    "name": row.name,
                    "start": row.start,
                    "scopes": row.scopes,
                    "created_at": row.created_at.isoformat(),
                    "used_at": row.used_at.isoformat() if row.used_at else None,
                    "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
                }
                for row in rows
            ]
        )
        return
    for row in rows:
        used = f"last used {row.used_at:%Y-%m-%d}" if row.used_at else "never used"
        state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else used
        click.echo(f"{row.name:<24} {row.start}…  {', '.join(row.scopes)}  {state}")
    click.echo(f"{counted(len(rows), 'key')}.")


@keys.command("revoke")
@click.argument("name")
@pass_context
def revoke(context: Context, name: str) -> None:
    """Revoke a key."""
    try:
        with context.store.writing() as session:
            revoke_key(session, name, who=COMMAND, now=clock.now())
    except KeyRefused as error:
        raise Refused(str(error)) from error
    click.echo(f"1 key revoked: {name}.")


@click.command()
@click.argument("topic", type=TOPICS)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option(
    "--format",
    "file_format",
    type=FORMATS,
    help="A line for each customer, with the frequency and the links for a letter.",
)
@pass_context
def audience(context: Context, topic: str, *, as_json: bool, file_format: str | None) -> None:
    """List who may be written to about a topic now.

    Customers are named as they chose to be. The audit log records that they were listed.
    """
    if as_json and file_format:
        message = "--json is one document, --format is lines: choose one"
        raise click.UsageError(message)
    rows = audience_rows(context.store, LetterContext(context.settings, context.signer), Topic(topic))
    if file_format:
        for line in csv_lines(rows) if file_format == "csv" else json_lines(rows):
            click.echo(line, nl=False)
    elif as_json:
        # Written row by row: the list may not fit into memory.
        separator = "["
        for row in rows:
            click.echo(separator + json.dumps({"address": row.address, "name": row.name}, ensure_ascii=False), nl=False)
            separator = ",\n "
        click.echo("[]" if separator == "[" else "]")
    else:
        count = 0
        for count, row in enumerate(rows, 1):  # noqa: B007 - counted
            click.echo(f"{row.address}\t{row.name or 'undisclosed'}")
        if not count:
            click.echo("Nobody.", err=True)
    with context.store.writing() as session:
        note(session, COMMAND, Act.ADDRESS_SHOWN, f"the audience of {topic}", now=clock.now())
