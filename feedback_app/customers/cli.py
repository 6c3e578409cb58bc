"""The commands `undisclosed customers` and `undisclosed customers import`."""

from pathlib import Path

import click

from feedback_app import clock
from feedback_app.console import Context, NeedsAPerson, Refused, pass_context, print_json, progress_bar
from feedback_app.customers.importing.csv_rows import ImportRefused
from feedback_app.customers.importing.services import ImportReport, import_customers
from feedback_app.customers.topics import Topic

TOPICS = click.Choice([topic.value for topic in Topic])
MOST_REFUSALS_SHOWN = 20


@click.group()
def customers() -> None:
    """Import, show, export and erase customers."""


@customers.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--topic", type=TOPICS, required=True, help="What these people agreed to be written to about.")
@click.option("--evidence", required=True, help="How they agreed: where, when, to what. Kept for good; name nobody.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def import_command(context: Context, file: Path, topic: str, evidence: str, *, as_json: bool) -> None:
    """Import customers from a CSV file with a column `email`, and optionally `name` and `name_display`."""
    try:
        report = _import(context, file, Topic(topic), evidence)
    except ImportRefused as error:
        raise Refused(str(error)) from error
    if as_json:
        refused = [{"line": refusal.line, "reason": refusal.reason} for refusal in report.refused]
        counts = {"added": report.added, "known": report.known, "suppressed": report.suppressed}
        print_json({**counts, "left_out": report.left_out, "refused": refused})
    else:
        click.echo(
            f"{report.added} added, {report.known} already known, {report.suppressed} suppressed, "
            f"{report.left_out} refused."
        )
        for refusal in report.refused[:MOST_REFUSALS_SHOWN]:
            click.echo(f"  line {refusal.line}: {refusal.reason}")
        if report.left_out > MOST_REFUSALS_SHOWN:
            click.echo(f"  … and {report.left_out - MOST_REFUSALS_SHOWN} more: --json names the first thousand")
    if report.refused:
        message = f"lines of {file.name} were left out: {report.left_out}; correct them and import the file again"
        raise NeedsAPerson(message)


def _import(context: Context, file: Path, topic: Topic, evidence: str) -> ImportReport:
    try:
        size = file.stat().st_size
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise ImportRefused(message) from error
    with progress_bar("Importing") as tell:
        return import_customers(
            context.store,
            file,
            topic=topic,
            evidence=evidence,
            now=clock.now(),
            progress=lambda position: tell(position, size),
        )
