"""The owner's list of posts: how many comments each has, and whether it takes new ones."""

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

PAGE_SIZE = 50
MAX_SEARCH_LENGTH = 200
# A larger offset could not be held by every database, and no blog has so many pages.
MAX_PAGE = 10**6

posts = owners_pages("posts", __name__)


@posts.get("/posts")
def listed() -> ResponseReturnValue:
    """Show the posts, newest first, or those whose title or URL contains the searched words."""
    words = request.args.get("words", "").replace("\0", "").strip()[:MAX_SEARCH_LENGTH]
    page = parse_number(request.args.get("page", "")) or 1
    approved = (
        select(Comment.thread_id, func.count().label("count"))
        .where(Comment.status == CommentStatus.APPROVED)
        .group_by(Comment.thread_id)
        .subquery()
    )
    query = (
        select(Thread, func.coalesce(approved.c.count, 0))
        .outerjoin(approved, approved.c.thread_id == Thread.id)
        .where(Thread.open)
        .order_by(Thread.published_at.desc(), Thread.id.desc())
    )
    if words:
        query = query.where(or_(*(column.icontains(words, autoescape=True) for column in (Thread.title, Thread.path))))
    with app_state().store.reading() as session:
        rows = session.execute(query.offset(PAGE_SIZE * (min(page, MAX_PAGE) - 1)).limit(PAGE_SIZE + 1)).all()
    return render_template(
        "desk/posts.html",
        rows=rows[:PAGE_SIZE],
        more=url_for("posts.listed", words=words or None, page=page + 1) if len(rows) > PAGE_SIZE else None,
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
    message = "takes no new comments" if verb == "close" else "takes comments, however old it is"
    return done(f"{title} {message}.", batch=batch if changed else None, back=way_back())
