"""The command `undisclosed`: `build`, `serve`, and each package's own commands, imported when they are called."""

import logging
import os
import signal
import sys
import threading
from collections.abc import MutableMapping
from functools import cached_property
from importlib import import_module

import click
from sqlalchemy.exc import DBAPIError

from feedback_app.config import DEFAULT_PORT, Settings, SettingsError, load_settings
from feedback_app.console import Context, Refused, pass_context
from feedback_app.db.setup import StoreProblem
from feedback_app.mailing.transports.registry import check_url
from feedback_app.security.crypto import CannotOpen, KeyProblem

# Each command, and the subcommands that other packages add to it.
COMMANDS = {
    "audience": ["feedback_app.api.cli:audience"],
    "bounces": ["feedback_app.mailing.cli.bounce_reports:bounces"],
    "comments": [
        "feedback_app.comments.cli:comments",
        "feedback_app.moving.cli:import_comments_command",
        "feedback_app.moving.cli:export_comments_command",
    ],
    "customers": [
        "feedback_app.customers.cli:customers",
        "feedback_app.privacy.cli:show",
        "feedback_app.privacy.cli:export",
        "feedback_app.privacy.cli:erase",
        "feedback_app.privacy.cli:evidence",
        "feedback_app.privacy.cli:verify",
        "feedback_app.privacy.cli:evidence_key",
    ],
    "db": ["feedback_app.operations.cli:db", "feedback_app.privacy.cli:purge"],
    "doctor": ["feedback_app.operations.cli:doctor_command"],
    "keys": ["feedback_app.api.cli:keys"],
    "mail": [
        "feedback_app.mailing.cli.send:mail",
        "feedback_app.mailing.cli.manage:cancel",
        "feedback_app.mailing.cli.manage:resume",
        "feedback_app.mailing.cli.manage:status",
        "feedback_app.mailing.cli.manage:list_command",
        "feedback_app.mailing.cli.resolve:resolve",
    ],
    "owner": ["feedback_app.desk.cli:owner"],
    "post": ["feedback_app.publishing.cli:post", "feedback_app.moving.cli:import_posts_command"],
    "publish": ["feedback_app.publishing.cli:publish"],
}
# Commands that return only when their changes are on the built site.
PUBLISHING = frozenset({"comments", "customers"})
# Their subcommands that change nothing.
READING = frozenset({"list", "show"})
KNOWN_ERRORS = (SettingsError, StoreProblem, KeyProblem, CannotOpen)


class ShopContext(Context):
    """The context of a real command, with its hourly chores."""

    @cached_property
    def settings(self) -> Settings:
        """The settings, read once, with the transport's URL checked."""
        return load_settings(check_transport_url=check_url)

    def hourly(self) -> None:
        """Delete data whose retention time is over."""
        from feedback_app.privacy.retention import purge_and_log  # noqa: PLC0415 - slow to import; most commands need none

        purge_and_log(self.store)


class LazyGroup(click.Group):
    """A group of commands whose errors are one line each.

    A command's package is imported when the command is called: importing all of them is slow.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, imported or not."""
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported if it is not yet."""
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            self.add_command(_import_command(cmd_name))
        return super().get_command(ctx, cmd_name)

    def import_all(self) -> MutableMapping[str, click.Command]:
        """Import every command; return them by name."""
        for name in COMMANDS:
            if name not in self.commands:
                self.add_command(_import_command(name))
        return self.commands

    def invoke(self, ctx: click.Context) -> object:
        """Run a command, and turn known errors into one line."""
        try:
            return super().invoke(ctx)
        except KNOWN_ERRORS as error:
            raise Refused(str(error)) from error
        except DBAPIError as error:
            message = f"the store does not work: {str(error.orig).strip().splitlines()[0]}"
            raise Refused(message) from error


@click.group(cls=LazyGroup)
@click.version_option(package_name="undisclosed", message="%(version)s")
@click.pass_context
def undisclosed(ctx: click.Context) -> None:
    """A shop's blog, its comments, its customers' preferences, and a mailer with one reader a letter."""
    context = ctx.ensure_object(Context)
    ctx.call_on_close(context.close)


def _import_command(name: str) -> click.Command:
    command, *subcommands = (
        getattr(import_module(module), attribute)
        for module, _, attribute in (location.partition(":") for location in COMMANDS[name])
    )
    if name in PUBLISHING:
        command.result_callback()(_update_site)
    for subcommand in subcommands:
        command.add_command(subcommand)
    return command  # type: ignore[no-any-return]


@pass_context
def _update_site(context: Context, _result: object) -> None:
    if click.get_current_context().invoked_subcommand in READING:
        return
    from feedback_app.publishing.live.update import catch_up  # noqa: PLC0415 - needed by these commands only

    catch_up(context.settings, context.store)


@undisclosed.command()
@click.option("--full", is_flag=True, help="Build everything anew, without the cache.")
@click.option("--follow", is_flag=True, help="Then watch content and comments and rebuild, until Ctrl-C.")
@pass_context
def build(context: Context, *, full: bool, follow: bool) -> None:
    """Build the site into the output folder.

    Only files that differ are written.
    """
    from feedback_app.publishing.builder import BuildRefused, build_site  # noqa: PLC0415 - Pelican is slow to import

    try:
        report = build_site(context.settings, context.store, full=full)
    except BuildRefused as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Refused(message) from error
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    files = report.files
    click.echo(
        f"{report.posts} posts in {report.seconds:.1f} s: {files.written} files written, {files.removed} removed, "
        f"{files.unchanged} unchanged."
    )
    if follow:
        _follow(context)


def _follow(context: Context) -> None:
    """Rebuild the site after every change until a signal; a write that has begun is finished first."""
    from feedback_app.heartbeats import new_worker_id  # noqa: PLC0415 - needed here only
    from feedback_app.publishing.daemon import run_publisher  # noqa: PLC0415 - Pelican is slow to import

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    click.echo("Following the store and the content, until Ctrl-C.")
    run_publisher(context.settings, context.store, new_worker_id(), stop)
    click.echo("Ended; the site stays as it is.")


@undisclosed.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@pass_context
def serve(context: Context, host: str, port: int) -> None:
    """Serve the site and the app, and send mail, until Ctrl-C.

    It builds the site first, then rebuilds it when the content or the comments change.
    """
    from feedback_app import serve  # noqa: PLC0415 - Pelican is slow to import
    from feedback_app.mailing.transports.results import TransportRefused  # noqa: PLC0415 - the same
    from feedback_app.mailing.transports.safety import check_site  # noqa: PLC0415 - the same
    from feedback_app.publishing.builder import BuildRefused  # noqa: PLC0415 - the same

    settings = context.settings
    try:
        port = serve.free_port(host, port)
        if "UNDISCLOSED_SITE_URL" not in os.environ and "site_url" not in settings.model_fields_set:
            settings = settings.at(serve.address(host, port))
        check_site(settings)
        context.keep_open(serve.only_one(settings))
        report = serve.prepare(settings)
    except (serve.PortTaken, serve.AlreadyServing, BuildRefused, TransportRefused) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Refused(message) from error
    click.echo(f"{settings.shop_name}: {report.posts} posts. Ctrl-C ends it.")
    for name, location in serve.places(settings, host, port):
        click.echo(f"  {name:<12} {location}")
    serve.serve(settings, host, port)


def main() -> None:
    """Run the command."""
    try:
        undisclosed(obj=ShopContext(), prog_name="undisclosed")
    except BrokenPipeError:
        # The reader closed the pipe (`| head`), which is no error.
        sys.stderr.close()
        sys.exit(1)
