"""The command `undisclosed`: `build` and `serve`, and every slice's own, imported when they are called."""

import logging
import os
import signal
import sys
import threading
from collections.abc import MutableMapping
from importlib import import_module

import click
from sqlalchemy.exc import DBAPIError

from feedback_app.config import DEFAULT_PORT, SettingsError
from feedback_app.console import Context, Refused, pass_context
from feedback_app.db.setup import StoreProblem
from feedback_app.security.crypto import CannotOpen, KeyProblem

# Where each command is, and what other slices add to it.
PLACES = {
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
# Whose decisions are on the site when the command returns.
DECIDING = frozenset({"comments", "customers"})
PROBLEMS = (SettingsError, StoreProblem, KeyProblem, CannotOpen)


class Shop(Context):
    """The context of a real command, with the house's chores."""

    def hourly(self) -> None:
        """Purge what is no longer needed."""
        from feedback_app.privacy.retention import purge_and_say  # noqa: PLC0415 - a build does without

        purge_and_say(self.store)


class Undisclosed(click.Group):
    """A group whose problems are one line each, whatever command met them.

    A command is imported when it is called: a build, cold, is done in the time that importing all would take.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, of what is here and of what is not yet."""
        return sorted({*super().list_commands(ctx), *PLACES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in self.commands and cmd_name in PLACES:
            self.add_command(_imported(cmd_name))
        return super().get_command(ctx, cmd_name)

    def all(self) -> MutableMapping[str, click.Command]:
        """Every command, imported, by its name."""
        for name in PLACES:
            if name not in self.commands:
                self.add_command(_imported(name))
        return self.commands

    def invoke(self, ctx: click.Context) -> object:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except PROBLEMS as error:
            raise Refused(str(error)) from error
        except DBAPIError as error:
            message = f"the store does not work: {str(error.orig).strip().splitlines()[0]}"
            raise Refused(message) from error


@click.group(cls=Undisclosed)
@click.version_option(package_name="undisclosed", message="%(version)s")
@click.pass_context
def undisclosed(ctx: click.Context) -> None:
    """A shop's blog, its comments, its customers' preferences, and a mailer with one reader a letter."""
    context = ctx.ensure_object(Context)
    ctx.call_on_close(context.close)


def _imported(name: str) -> click.Command:
    command, *more = (
        getattr(import_module(module), attribute)
        for module, _, attribute in (place.partition(":") for place in PLACES[name])
    )
    if name in DECIDING:
        command.result_callback()(_publish_decisions)
    for one in more:
        command.add_command(one)
    return command  # type: ignore[no-any-return]


@pass_context
def _publish_decisions(context: Context, _result: object) -> None:
    from feedback_app.publishing.live.update import catch_up  # noqa: PLC0415 - needed where something was decided

    catch_up(context.settings, context.store)


@undisclosed.command()
@click.option("--full", is_flag=True, help="Forget what was known of the site.")
@click.option("--follow", is_flag=True, help="Then go on: watch the content and follow the store, until ended.")
@pass_context
def build(context: Context, *, full: bool, follow: bool) -> None:
    """Build the site into the output folder; only files that differ are written."""
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
        _keep_right(context)


def _keep_right(context: Context) -> None:
    """Keep the site right until ended; what is in the middle of being written is whole before this returns."""
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
    """Build, then serve site and app, watch the content, follow the store and send mail, until Ctrl-C."""
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
        context.hold(serve.only_one(settings))
        report = serve.prepare(settings)
    except (serve.PortTaken, serve.AlreadyServing, BuildRefused, TransportRefused) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Refused(message) from error
    click.echo(f"{settings.shop_name}: {report.posts} posts. Ctrl-C ends it.")
    for name, where in serve.places(settings, host, port):
        click.echo(f"  {name:<12} {where}")
    serve.serve(settings, host, port)


def main() -> None:
    """Run the command."""
    try:
        undisclosed(obj=Shop(), prog_name="undisclosed")
    except BrokenPipeError:
        # Somebody closed the pipe (`| head`): that is no failure worth a traceback.
        sys.stderr.close()
        sys.exit(1)
