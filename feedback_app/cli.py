"""The command `undisclosed`: attaches each slice's group."""

import os
import sys
from importlib import import_module

import click
from sqlalchemy.exc import DBAPIError

from feedback_app.comments.cli import comments
from feedback_app.config import DEFAULT_PORT, SettingsError
from feedback_app.console import Context, Refused, pass_context
from feedback_app.crypto import CannotOpen, KeyProblem
from feedback_app.customers.cli import audience, customers
from feedback_app.mailing.cli import mail
from feedback_app.mailing.outcomes import TransportRefused
from feedback_app.mailing.settling_cli import resolve
from feedback_app.mailing.sites import check_site
from feedback_app.moving.cli import export_comments_command, import_comments_command, import_posts_command
from feedback_app.privacy.cli import erase, export, purge, show
from feedback_app.privacy.retention import purge_and_say
from feedback_app.publishing.cli import post
from feedback_app.publishing.threads import catch_up
from feedback_app.store import StoreProblem

SELDOM = {
    "bounces": "feedback_app.mailing.bounces_cli:bounces",
    "db": "feedback_app.upkeep.cli:db",
    "doctor": "feedback_app.upkeep.cli:doctor_command",
    "owner": "feedback_app.owner.cli:owner",
}
PROBLEMS = (SettingsError, StoreProblem, KeyProblem, CannotOpen)


class Shop(Context):
    """The context of a real command, with the house's chores."""

    def hourly(self) -> None:
        """Purge what is no longer needed."""
        purge_and_say(self.store)


class Undisclosed(click.Group):
    """A group whose problems are one line each, whatever command met them.

    What hardly anybody calls is imported when it is called: it brings libraries that are slow to import.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, of what is here and of what is not yet."""
        return sorted([*super().list_commands(ctx), *SELDOM])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in SELDOM:
            return super().get_command(ctx, cmd_name)
        module, _, name = SELDOM[cmd_name].partition(":")
        command: click.Group = getattr(import_module(module), name)
        if cmd_name == "db":
            command.add_command(purge)
        return command

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


undisclosed.add_command(post)
undisclosed.add_command(comments)
undisclosed.add_command(customers)
undisclosed.add_command(audience)
undisclosed.add_command(mail)
mail.add_command(resolve)


for _command in (show, export, erase):
    customers.add_command(_command)
for _command in (import_comments_command, export_comments_command):
    comments.add_command(_command)
post.add_command(import_posts_command)


@comments.result_callback()
@customers.result_callback()
@pass_context
def _publish_decisions(context: Context, _result: object) -> None:
    """What was decided is on the site when the command returns."""
    catch_up(context.settings, context.store)


@undisclosed.command()
@click.option("--full", is_flag=True, help="Forget what was known of the site.")
@pass_context
def build(context: Context, *, full: bool) -> None:
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


@undisclosed.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@pass_context
def serve(context: Context, host: str, port: int) -> None:
    """Build, then serve site and app, watch the content, follow the store and send mail, until Ctrl-C."""
    from feedback_app import serving  # noqa: PLC0415 - Pelican is slow to import
    from feedback_app.publishing.builder import BuildRefused  # noqa: PLC0415 - the same

    settings = context.settings
    try:
        port = serving.free_port(host, port)
        if "UNDISCLOSED_SITE_URL" not in os.environ and "site_url" not in settings.model_fields_set:
            settings = settings.at(serving.address(host, port))
        check_site(settings)
        context.hold(serving.only_one(settings))
        report = serving.prepare(settings)
    except (serving.PortTaken, serving.AlreadyServing, BuildRefused, TransportRefused) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Refused(message) from error
    click.echo(f"{settings.shop_name}: {report.posts} posts. Ctrl-C ends it.")
    for name, where in serving.places(settings, host, port):
        click.echo(f"  {name:<12} {where}")
    serving.serve(settings, host, port)


def main() -> None:
    """Run the command."""
    try:
        undisclosed(obj=Shop(), prog_name="undisclosed")
    except BrokenPipeError:
        # Somebody closed the pipe (`| head`): that is no failure worth a traceback.
        sys.stderr.close()
        sys.exit(1)
