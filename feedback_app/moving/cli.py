"""`undisclosed comments import`, `comments export` and `post import`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from feedback_app import clock
from feedback_app.console import Context, NeedsAPerson, Refused, pass_context, print_json, progress_bar
from feedback_app.moving.formats.records import UnreadableExport
from feedback_app.plurals import counted

if TYPE_CHECKING:
    from feedback_app.moving.import_report import CommentsReport, PostsReport

CONFIGURATION = Path("pelicanconf.py")
FORMATS = ("json", "disqus")
DRY = click.option("--dry-run", "dry", is_flag=True, help="Only say what would be done.")
# What stays behind, where there is one of it.
_ONE = {
    "e-mail addresses": "e-mail address",
    "network addresses": "network address",
    "websites": "website",
    "pictures of people": "picture of somebody",
    "votes": "vote",
}
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command("import")
@FILE
@DRY
@JSON
@pass_context
def import_comments_command(context: Context, file: Path, *, dry: bool, as_json: bool) -> None:
    """Import comments from Disqus (XML), WordPress (WXR), Isso (its database), Blogger or Remark42 (its backup).

    They come over below the posts that are here; a second run doubles nothing. Addresses stay behind.
    """
    from feedback_app.moving.import_comments import import_comments  # noqa: PLC0415 - slow to import
    from feedback_app.publishing.live.update import catch_up  # noqa: PLC0415 - needed where something came over

    try:
        with progress_bar("Importing") as tell:
            report = import_comments(context.store, file, now=clock.now(), dry=dry, progress=tell)
    except UnreadableExport as error:
        raise Refused(str(error)) from error
    if report.added and not dry:
        # Also where something was left out and the command ends with that: what came over is on the site.
        catch_up(context.settings, context.store)
    if as_json:
        print_json(_described(report, dry=dry))
    else:
        _say(report, dry=dry)
    if report.left_out.unsettled:
        message = (
            f"did not come over: {report.left_out.unsettled}; mend what the reasons say, and import the file again"
        )
        raise NeedsAPerson(message)


@click.command("export")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="json", show_default=True, help="Which.")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@pass_context
def export_comments_command(context: Context, kind: str, file: Path) -> None:
    """Export all comments to a FILE that is not there yet, or to standard output. No address is in it."""
    from feedback_app.moving.export_comments import export_disqus, export_json  # noqa: PLC0415 - slow to import

    site_url, write = context.settings.site_url, export_json if kind == "json" else export_disqus
    try:
        # Not made before it is known that there is a store; never over a file that is there.
        with context.store.reading() as session:
            if str(file) == "-":
                write(session, sys.stdout.buffer, site_url)
                return
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                number = write(session, out, site_url)
    except FileExistsError as error:
        message = f"{file}: there is a file of this name already: name another"
        raise Refused(message) from error
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise Refused(message) from error
    click.echo(f"{file}: {counted(number, 'comment')}.")


@click.command("import")
@FILE
@DRY
@JSON
@pass_context
def import_posts_command(context: Context, file: Path, *, dry: bool, as_json: bool) -> None:
    """Make content files of the posts in an export of WordPress (WXR) or Blogger. Overwrites nothing."""
    from feedback_app.moving.import_posts import import_posts  # noqa: PLC0415 - slow to import
    from feedback_app.publishing.content.new_post import PostNotMade, zone_of  # noqa: PLC0415 - the same

    try:
        zone = zone_of(CONFIGURATION)
        with progress_bar("Importing") as tell:
            report = import_posts(
                context.store, file, context.settings.content, zone=zone, now=clock.now(), dry=dry, progress=tell
            )
    except (UnreadableExport, PostNotMade) as error:
        raise Refused(str(error)) from error
    if as_json:
        print_json(_posts_described(report, dry=dry))
    else:
        _say_posts(report, dry=dry)
    if report.left_out.unsettled:
        message = f"did not come over: {report.left_out.unsettled}; the reasons say what to do"
        raise NeedsAPerson(message)


def _described(report: "CommentsReport", *, dry: bool) -> dict[str, object]:
    return {
        "from": report.system,
        "dry_run": dry,
        "added": report.added,
        "shown": report.shown,
        "waiting": report.waiting,
        "known": report.known,
        "alone": report.alone,
        "names_cut": report.cut,
        "left_out": report.left_out.total,
        "reasons": report.left_out.listed(),
        "left_behind": {kind.value: number for kind, number in sorted(report.behind.items())},
    }


def _say(report: "CommentsReport", *, dry: bool) -> None:
    click.echo(
        f"{report.system}: {counted(report.added, 'comment')} {'would be ' if dry else ''}added "
        f"({counted(report.waiting, 'of them waits', 'of them wait')} for you), {report.known} already here, "
        f"{report.left_out.total} left out."
    )
    if report.alone:
        one = "answer stands on its own: what it answers did not come over."
        click.echo(f"  {counted(report.alone, one, 'answers stand on their own: what they answer did not come over.')}")
    if report.cut:
        one, more = "name was longer than 80 letters and is cut.", "names were longer than 80 letters and are cut."
        click.echo(f"  {counted(report.cut, one, more)}")
    for line in report.left_out.lines():
        click.echo(line)
    for kind, number in sorted(report.behind.items()):
        what, them = (_ONE[kind.value], "it") if number == 1 else (kind.value, "them")
        click.echo(f"  {number} {what} stayed behind: nobody has agreed to {them} being here.")


def _posts_described(report: "PostsReport", *, dry: bool) -> dict[str, object]:
    return {
        "from": report.system,
        "dry_run": dry,
        "written": report.written,
        "drafts": report.drafts,
        "known": report.known,
        "redirects": report.redirects,
        "masked": report.masked,
        "pictures_elsewhere": report.pictures,
        "embedded_left_out": report.embedded,
        "left_out": report.left_out.total,
        "reasons": report.left_out.listed(),
    }


def _say_posts(report: "PostsReport", *, dry: bool) -> None:
    written, redirects = len(report.written), report.redirects
    lead = "old address leads" if redirects == 1 else "old addresses lead"
    click.echo(
        f"{report.system}: {counted(written, 'post')} {'would be ' if dry else ''}written "
        f"({counted(report.drafts, 'draft')}), {report.known} there already, {redirects} {lead} to "
        f"{'it' if written == 1 else 'them'}, {report.left_out.total} left out."
    )
    for number, one, more in (
        (report.masked, "post has an address masked in it", "posts have an address masked in them"),
        (
            report.pictures,
            "picture is still where it was: save it beside its post",
            "pictures are still where they were: save them beside their posts",
        ),
        (
            report.embedded,
            "embedded thing (a film, a script, a form) was left out",
            "embedded things (films, scripts, forms) were left out",
        ),
    ):
        if number:
            click.echo(f"  {counted(number, one, more)}.")
    for line in report.left_out.lines():
        click.echo(line)
