"""What every command shares: settings and store, errors, JSON, progress and questions."""

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
    """A command was refused or failed: one line on standard error that says why and what to do; exit code 1."""

    def show(self, file: object = None) -> None:  # noqa: ARG002 - always standard error
        """Print the line."""
        click.echo(f"undisclosed: {self.message}", err=True)


class NeedsAPerson(Refused):
    """A command finished, but something needs a person; the output says what. Exit code 3."""

    exit_code = 3


class Context:
    """Settings, store and signer of a command, each opened on first use."""

    def hourly(self) -> None:
        """Do the hourly chores of a command that runs for hours; `cli.py` says which."""

    @cached_property
    def settings(self) -> Settings:
        """The settings, read once."""
        return load_settings()

    @cached_property
    def store(self) -> Store:
        """The store, created when it is missing."""
        return open_store(self.settings)

    @cached_property
    def signer(self) -> Signer:
        """The signer of links."""
        return keys.signer(self.settings)

    def keep_open(self, file: IO[str]) -> None:
        """Keep a file, and its lock, open until the command ends."""
        self._held = file

    def close(self) -> None:
        """Close what was opened."""
        if "_held" in self.__dict__:
            self._held.close()
        if "store" in self.__dict__:
            self.store.close()


pass_context = click.make_pass_decorator(Context)


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, if that is a terminal. Yields a function of (done, total)."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and most commands show no bar
    from rich.progress import (  # noqa: PLC0415 - the same
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before an action that can't be undone, if standard input is a terminal; no is an abort."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True)
