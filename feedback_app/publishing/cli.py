"""`undisclosed post`: begin a post, list posts, check them; and `undisclosed publish`."""

from pathlib import Path

import click

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.console import Context, NeedsAPerson, Refused, pass_context, print_json
from feedback_app.publishing.content.new_post import (
    PostFile,
    PostNotMade,
    PostStatus,
    begin_post,
    preview_path,
    written,
    zone_of,
)

CONFIGURATION = Path("pelicanconf.py")


@click.group()
def post() -> None:
    """Write: begin a post, see what there is, check it."""


@post.command("new")
@click.argument("title")
@click.option("--label", "labels", multiple=True, metavar="L", help="A label; may be given several times.")
@pass_context
def new(context: Context, title: str, labels: tuple[str, ...]) -> None:
    """Begin a post: a draft with its whole head, for you to write below."""
    try:
        now = clock.now().astimezone(zone_of(CONFIGURATION))
        file = begin_post(context.settings.content, title, labels, now=now)
    except PostNotMade as error:
        raise Refused(str(error)) from error
    click.echo(f"{file}: 1 draft. Write below its head; `Status: published` publishes it.")
    draft = next(each for each in written(context.settings.content, now=now) if each.file == file)
    click.echo(f"Until then only this link shows it, once the site is built: {_link(context, draft)}")


@post.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def list_posts(context: Context, *, as_json: bool) -> None:
    """Every post, newest first, with its status and its link: the private one of what is not published."""
    try:
        now = clock.now().astimezone(zone_of(CONFIGURATION))
    except PostNotMade as error:
        raise Refused(str(error)) from error
    posts = written(context.settings.content, now=now)
    if as_json:
        print_json([_post_as_json(context, each) for each in posts])
        return
    for each in posts:
        date = f"{each.date:%Y-%m-%d %H:%M}" if each.date else "no date"
        click.echo(f"{date:16}  {each.status:9}  {each.title or '(no title)'}  {_link(context, each)}")


@post.command("check")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_context
def check(context: Context, files: tuple[Path, ...]) -> None:
    """Look for what a reader would stumble over: dead links, pictures without a text, dates that can't be; exit 3."""
    findings = check_site(context.settings, list(files) or None)
    for line in findings:
        click.echo(line)
    if findings:
        message = f"{len(findings)} places need you"
        raise NeedsAPerson(message)
    click.echo("Nothing to mend.")


@click.command()
@click.option("--anyway", is_flag=True, help="Hand the site over although the checks found something.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def publish(context: Context, *, anyway: bool, as_json: bool) -> None:
    """Build for the public as `publishconf.py` says, check, and hand the site to the command that is named there."""
    from feedback_app.publishing.builder import BuildRefused  # noqa: PLC0415 - Pelican is slow to import
    from feedback_app.publishing.deploy import DeployFailed, publish  # noqa: PLC0415 - the same

    try:
        report = publish(context.settings, context.store, anyway=anyway)
    except (BuildRefused, DeployFailed) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Refused(message) from error
    files = report.build.files
    if as_json:
        print_json(
            {
                "posts": report.build.posts,
                "files": {"written": files.written, "removed": files.removed, "unchanged": files.unchanged},
                "found": report.findings,
                "handed_to": report.command or None,
                "seconds": {"build": round(report.build.seconds, 3), "command": round(report.seconds, 3)},
            }
        )
    else:
        for line in report.findings:
            click.echo(line)
        click.echo(
            f"{report.build.posts} posts in {report.build.seconds:.1f} s: {files.written} files written, "
            f"{files.removed} removed, {files.unchanged} unchanged."
        )
        if report.command:
            click.echo(f"Handed to {report.command}, which took {report.seconds:.1f} s.")
    if report.findings:
        handed = (
            "the site was handed over all the same" if report.command else "the site is built, and was handed to nobody"
        )
        message = f"{len(report.findings)} places need you; {handed}"
        raise NeedsAPerson(message)


def check_site(settings: Settings, files: list[Path] | None = None) -> list[str]:
    """Return what the checks find in these files, or in all."""
    from feedback_app.publishing.content.address_leaks import published_files  # noqa: PLC0415 - the same
    from feedback_app.publishing.content.checks import check_files  # noqa: PLC0415 - what looks into pictures is slow to import

    files = list(published_files(settings.content)) if files is None else files
    return check_files(files, settings.content, settings.output, now=clock.now())


def _link(context: Context, post: PostFile) -> str:
    path = post.path
    if post.status is not PostStatus.PUBLISHED:
        source = post.file.resolve().relative_to(context.settings.content.resolve())
        path = f"/{preview_path(context.signer.identifier_key, source, post.slug)}"
    return f"{context.settings.site_url}{path}"


def _post_as_json(context: Context, post: PostFile) -> dict[str, object]:
    return {
        "file": str(post.file),
        "title": post.title,
        "slug": post.slug,
        "date": post.date.isoformat() if post.date else None,
        "status": post.status.value,
        "labels": post.labels,
        "url": f"{context.settings.site_url}{post.path}",
        "preview": None if post.status is PostStatus.PUBLISHED else _link(context, post),
    }
