"""`undisclosed keys` and `undisclosed audience`: for other programs."""

import json

import click

from feedback_app import clock
from feedback_app.api.lists import csv_lines, json_lines, rows_of
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
    """Keys with which other mailers ask whom they may write to (docs/other-mailers.md)."""


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
    """Make a key, and show it: this once, because only its hash is kept."""
    try:
        with context.store.writing() as session:
            key = make_key(session, name, [Scope(one) for one in scopes], who=COMMAND, now=clock.now())
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
    """List the keys, by name and by how they start."""
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
    """Let a key open nothing from now on."""
    try:
        with context.store.writing() as session:
            revoke_key(session, name, who=COMMAND, now=clock.now())
    except KeyRefused as error:
        raise Refused(str(error)) from error
    click.echo(f"1 key revoked: {name}.")


@click.command()
@click.argument("topic", type=TOPICS)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.option("--format", "form", type=FORMATS, help="A line a person, with how often, and the links for a letter.")
@pass_context
def audience(context: Context, topic: str, *, as_json: bool, form: str | None) -> None:
    """Who may be written to about a topic, at this moment, each named as they chose to be. The audit log keeps that."""
    if as_json and form:
        message = "--json is one document, --format is lines: choose one"
        raise click.UsageError(message)
    rows = rows_of(context.store, LetterContext(context.settings, context.signer), Topic(topic))
    if form:
        for line in csv_lines(rows) if form == "csv" else json_lines(rows):
            click.echo(line, nl=False)
    elif as_json:
        # Written piece by piece: a list may be longer than memory.
        separator = "["
        for row in rows:
            click.echo(separator + json.dumps({"address": row.address, "name": row.name}, ensure_ascii=False), nl=False)
            separator = ",\n "
        click.echo("[]" if separator == "[" else "]")
    else:
        count = 0
        for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
            click.echo(f"{row.address}\t{row.name or 'undisclosed'}")
        if not count:
            click.echo("Nobody.", err=True)
    with context.store.writing() as session:
        note(session, COMMAND, Act.ADDRESS_SHOWN, f"the audience of {topic}", now=clock.now())
