"""What every command shares: its settings and store, its refusals, its JSON."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import IO

import click

from feedback_app.config import Settings, load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.security import keys
from feedback_app.security.tokens import Signer


class Refused(click.ClickException):
    """Refused or failed: one line on standard error that says why and what to do; exit 1."""

    def show(self, file: object = None) -> None:  # noqa: ARG002 - always standard error
        """Print the line."""
        click.echo(f"undisclosed: {self.message}", err=True)


class NeedsAPerson(Refused):
    """Finished, but something needs a person, whom the output tells what; exit 3."""

    exit_code = 3


class Context:
    """Settings and store, opened when a command first asks for them; and the chores of whoever works for hours."""

    def hourly(self) -> None:
        """What is to be done every hour, whoever runs: `cli.py` says what."""

    @cached_property
    def settings(self) -> Settings:
        """The settings, read once."""
        return load_settings()

    @cached_property
    def store(self) -> Store:
        """The store, made when it is missing."""
        return open_store(self.settings)

    @cached_property
    def signer(self) -> Signer:
        """What makes and reads links."""
        return keys.signer(self.settings)

    def hold(self, thing: IO[str]) -> None:
        """Keep something open until the command ends."""
        self._held = thing

    def close(self) -> None:
        """Give back what was opened."""
        if "_held" in self.__dict__:
            self._held.close()
        if "store" in self.__dict__:
            self.store.close()


pass_context = click.make_pass_decorator(Context)


def print_json(document: object) -> None:
    """One JSON document on standard output, and nothing else."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where somebody is there to see it; it is told how much is done, and of how much."""
    from rich.console import Console  # noqa: PLC0415 - a small build is done in the time that importing it would take
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what can't be undone, where somebody is there to answer; elsewhere the command was the answer."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True)
