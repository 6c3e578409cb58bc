"""`undisclosed comments`: list and decide."""

import click

from feedback_app import clock
from feedback_app.audit_log import COMMAND, new_batch
from feedback_app.clock import rfc3339
from feedback_app.comments.decisions import Decision
from feedback_app.comments.models import CommentStatus
from feedback_app.comments.moderation import decide_as
from feedback_app.comments.services import NoSuchComment, list_comments
from feedback_app.console import Context, Refused, pass_context, print_json
from feedback_app.plurals import counted


@click.group()
def comments() -> None:
    """Comments: see what waits, and decide."""


@comments.command("list")
@click.option("--status", type=click.Choice([status.value for status in CommentStatus]), help="Only these.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@pass_context
def list_command(context: Context, status: str | None, *, as_json: bool) -> None:
    """List comments, oldest first."""
    with context.store.reading() as session:
        rows = list_comments(session, CommentStatus(status) if status else None)
    if as_json:
        print_json(
            [
                {
                    "id": comment.id,
                    "post": thread.path,
                    "parent": comment.parent_id,
                    "author": comment.author,
                    "status": comment.status,
                    "created_at": rfc3339(comment.created_at),
                    "text": comment.text,
                }
                for comment, thread in rows
            ]
        )
        return
    for comment, thread in rows:
        first = comment.text.splitlines()[0] if comment.text else ""
        click.echo(f"{comment.id:>5}  {comment.status:<8}  {thread.path}  {comment.author}: {first[:60]}")
    click.echo(f"{counted(len(rows), 'comment')}.")


def _deciding(decision: Decision) -> click.Command:
    @click.command(decision.value, help=f"{decision.capitalize()} comments, by their numbers.")
    @click.argument("numbers", metavar="ID...", nargs=-1, required=True, type=click.IntRange(min=1))
    @pass_context
    def command(context: Context, numbers: tuple[int, ...]) -> None:
        try:
            with context.store.writing() as session:
                done = decide_as(session, numbers, decision, who=COMMAND, now=clock.now(), batch=new_batch())
        except NoSuchComment as error:
            raise Refused(str(error)) from error
        asked = len(set(numbers))
        if len(done.taken_back) == asked:
            raise Refused(done.left)
        already = asked - done.changed - len(done.taken_back)
        said = [f"{counted(done.changed, 'comment')} {decision.done}."]
        said += [f"{already} had been already."] if already else []
        click.echo(" ".join([*said, done.left]).rstrip())

    return command


for _decision in Decision:
    comments.add_command(_deciding(_decision))
