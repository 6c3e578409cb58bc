"""The posts, as the owner sees them: how many comments each has, and whether it takes new ones."""

from flask import abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import current_user
from sqlalchemy import func, or_, select

from feedback_app import clock
from feedback_app.audit_log import new_batch
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.moderation import close_thread, open_thread
from feedback_app.desk.layout import done, owners_pages, refused, way_back
from feedback_app.web.app_state import app_state
from feedback_app.web.forms import ButtonForm, parse_number

PAGE = 50
LONGEST = 200

posts = owners_pages("posts", __name__)


@posts.get("/posts")
def listed() -> ResponseReturnValue:
    """The posts, the newest first, or those whose title or address says something."""
    words = request.args.get("words", "").replace("\0", "").strip()[:LONGEST]
    page = parse_number(request.args.get("page", "")) or 1
    shown = (
        select(Comment.thread_id, func.count().label("count"))
        .where(Comment.status == CommentStatus.APPROVED)
        .group_by(Comment.thread_id)
        .subquery()
    )
    query = (
        select(Thread, func.coalesce(shown.c.count, 0))
        .outerjoin(shown, shown.c.thread_id == Thread.id)
        .where(Thread.open)
        .order_by(Thread.published_at.desc(), Thread.id.desc())
    )
    if words:
        query = query.where(or_(*(one.icontains(words, autoescape=True) for one in (Thread.title, Thread.path))))
    with app_state().store.reading() as session:
        # An offset that no database can hold is a page that nobody has.
        rows = session.execute(query.offset(PAGE * (min(page, 10**6) - 1)).limit(PAGE + 1)).all()
    return render_template(
        "desk/posts.html",
        rows=rows[:PAGE],
        more=url_for("posts.listed", words=words or None, page=page + 1) if len(rows) > PAGE else None,
        words=words,
        days=app_state().settings.close_after_days,
        form=ButtonForm(),
    )


@posts.post("/posts/<verb>")
def set_closing(verb: str) -> ResponseReturnValue:
    """Close a post's comments, or open them again."""
    if verb not in {"close", "open"}:
        abort(404)
    if not ButtonForm().validate():
        return refused()
    number = parse_number(request.form.get("thread", ""))
    act = close_thread if verb == "close" else open_thread
    batch = new_batch()
    with app_state().store.writing() as session:
        thread = session.get(Thread, number, with_for_update=True) if number else None
        if thread is None:
            abort(404)
        changed = act(session, thread, who=current_user.username, now=clock.now(), batch=batch)
        title = thread.title
    said = "takes no new comments" if verb == "close" else "takes comments, however old it is"
    return done(f"{title} {said}.", batch=batch if changed else None, back=way_back())
