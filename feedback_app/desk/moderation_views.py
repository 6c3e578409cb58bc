"""The moderation queue, the page of a comment, and undo."""

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import current_user
from sqlalchemy.orm import Session

from feedback_app import clock
from feedback_app.audit_log import lines_about, new_batch
from feedback_app.comments.decisions import Decision
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.moderation import answer_as, decide_as, edit_as_owner, undo
from feedback_app.comments.services import NoSuchComment
from feedback_app.desk.comment_search import ANY, CommentFilter, find_comments, short_reasons
from feedback_app.desk.forms import WordsForm
from feedback_app.desk.layout import done, owners_pages, refused, way_back
from feedback_app.plurals import counted
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm, csrf_failed, parse_number

STALE = "This form had been open too long. Your words are still here: send them again."

moderation = owners_pages("moderation", __name__)


@moderation.route("/", methods=["GET", "POST"])
def queue() -> ResponseReturnValue:
    """Show the comments that wait or that are searched for; decide on one or several."""
    form = ButtonForm()
    wanted = CommentFilter.from_query(request.args)
    if request.method == "POST":
        if not form.validate():
            return refused()
        return _decide(url_for("moderation.queue", **wanted.query))
    with app_state().store.reading() as session:
        found = find_comments(session, wanted, after=parse_number(request.args.get("after", "")))
    more = url_for("moderation.queue", **wanted.query, after=found.next_after) if found.next_after else None
    return render_template(
        "desk/queue.html",
        found=found,
        more=more,
        wanted=wanted,
        here=url_for("moderation.queue", **wanted.query),
        states=[*CommentStatus, ANY],
        state=wanted.status or ANY,
        reasons=short_reasons(),
        decisions=list(Decision),
        form=form,
    )


def _decide(back: str) -> ResponseReturnValue:
    """Decide on the one comment whose button was pressed, or on the ticked ones."""
    verb, _, pressed = request.form.get("only", "").partition(" ")
    chosen = [pressed] if verb else request.form.getlist("comment")
    numbers = sorted({number for text in chosen if (number := parse_number(text))})
    verb = verb or request.form.get("action", "")
    if verb not in set(Decision) or not numbers:
        flash("Nothing was chosen: tick the comments, then press a button.")
        return redirect(back, code=303)
    decision, batch = Decision(verb), new_batch()
    try:
        with app_state().store.writing() as session:
            result = decide_as(session, numbers, decision, who=current_user.username, now=clock.now(), batch=batch)
    except NoSuchComment:
        flash("One of these comments is gone. Nothing was done.")
        return redirect(back, code=303)
    message = [f"{counted(result.changed, 'comment')}: {decision.status}."]
    already = len(numbers) - result.changed - len(result.taken_back)
    message += [f"{already} had been already."] if already else []
    return done(" ".join([*message, result.left]).rstrip(), batch=batch if result.changed else None, back=back)


@moderation.post("/undo")
def undo_batch() -> ResponseReturnValue:
    """Undo a batch of the audit log."""
    if not ButtonForm().validate():
        return refused()
    batch = new_batch()
    with app_state().store.writing() as session:
        result = undo(
            session, request.form.get("batch", "")[:32].replace("\0", ""), who=current_user.username, now=clock.now(),
            new_batch=batch,
        )  # fmt: skip
    message = f"{counted(result.done, 'thing')} undone." if result.done else "Nothing was undone."
    if result.left or not result.done:
        message = f"{message} What has been changed since stays as it is."
    return done(message, batch=batch if result.done else None, back=way_back())


@moderation.get("/comments/<number>")
def comment(number: str) -> ResponseReturnValue:
    """Show a comment, with forms to edit it and to answer."""
    return _comment_page(number)


@moderation.post("/comments/<number>/edit")
def edit(number: str) -> ResponseReturnValue:
    """Change a comment's name and words."""
    form = WordsForm(prefix="edit")
    if not form.validate():
        return _comment_page(number, edit_form=form), 400
    batch = new_batch()
    with app_state().store.writing() as session:
        found, _ = _find(session, number, lock=True)
        if found.taken_back:
            return _comment_page(number, edit_form=form), 409
        changed = edit_as_owner(
            session, found, author=form.author.data, text=form.body.data, who=current_user.username, now=clock.now(),
            batch=batch,
        )  # fmt: skip
    message = "The comment is changed, and says so." if changed else "Nothing is other than it was."
    return done(message, batch=batch if changed else None, back=url_for("moderation.comment", number=number))


@moderation.post("/comments/<number>/answer")
def answer(number: str) -> ResponseReturnValue:
    """Post the shop's answer; a waiting comment is approved with it."""
    form = WordsForm(prefix="answer")
    if not form.validate():
        return _comment_page(number, answer_form=form), 400
    batch = new_batch()
    with app_state().store.writing() as session:
        found, thread = _find(session, number, lock=True)
        if found.taken_back:
            return _comment_page(number, answer_form=form), 409
        made = answer_as(
            session, thread, found, author=form.author.data, text=form.body.data, who=current_user.username,
            now=clock.now(), batch=batch,
        )  # fmt: skip
    return done("Your answer is shown.", batch=batch, back=url_for("moderation.comment", number=made.id))


def _find(session: Session, number: str, *, lock: bool = False) -> tuple[Comment, Thread]:
    comment_id = parse_number(number)
    found = session.get(Comment, comment_id, with_for_update=lock) if comment_id else None
    if found is None:
        abort(404)
    return found, session.get_one(Thread, found.thread_id)


def _comment_page(number: str, *, edit_form: WordsForm | None = None, answer_form: WordsForm | None = None) -> str:
    """Render a comment's page. A form that was sent and not accepted keeps what was typed."""
    sent = edit_form if answer_form is None else answer_form
    with app_state().store.reading() as session:
        found, thread = _find(session, number)
        if edit_form is None:
            edit_form = WordsForm(prefix="edit", formdata=None, author=found.author, body=found.text)
        if answer_form is None:
            answer_form = WordsForm(prefix="answer", formdata=None, author=app_state().settings.shop_name, body="")
        return render_template(
            "desk/comment.html",
            comment=found,
            thread=thread,
            parent=session.get(Comment, found.parent_id) if found.parent_id else None,
            lines=lines_about(session, found.id),
            edit=edit_form,
            answer=answer_form,
            form=ButtonForm(formdata=None),
            decisions=[decision for decision in Decision if decision.status is not found.status],
            typed=sent.body.data if sent is not None else None,
            problem=STALE if sent is not None and csrf_failed(sent) else None,
        )
