"""The comment form's page, and what comes after it."""

from datetime import datetime
from typing import cast

from flask import Blueprint, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from limits import parse
from markupsafe import Markup

from feedback_app import clock
from feedback_app.comments import akismet
from feedback_app.comments.closing import is_closed
from feedback_app.comments.forms import CommentForm
from feedback_app.comments.markup import comment_html
from feedback_app.comments.models import Comment, CommentStatus, OpenThread
from feedback_app.comments.own import accept_work, is_own, own_in_thread
from feedback_app.comments.posting import open_thread, post_comment, post_words, weigh
from feedback_app.comments.rendering import form_url, received_url
from feedback_app.comments.sealing import LONGEST, SHORTEST, form_hash, opened_at, seal_form, work_for, worked_for
from feedback_app.comments.services import find_parent, find_thread
from feedback_app.comments.verdicts import CROWDED, NO_TIME, TOO_FAST, TRAPPED, Rules, Signs, settled_by_work
from feedback_app.config import Settings, Switch
from feedback_app.web import ButtonForm, forged, house, keep_private, whence

MOST_REMEMBERED = 20
LONGEST_NUMBER = 15
LATE = "This form had been open too long, or your browser keeps no cookies."
TOO_LATE = f"{LATE} Your words are still here: send them again."
NOTHING_CAME = (
    "Nothing of what you sent could be read: it broke off on its way, or was no form. Go back, where your browser may "
    "still have your words, and send them again."
)
TOO_MUCH = "A lot is being posted just now. Your words are still here: wait a minute, and send them again."
CLOSED = "This post takes no comments any more. Your words are still here, so that you can take them with you."
GONE = "The comment you wanted to answer is gone. Yours can stand on its own."

# For a network, for a thread; from the third on it is suspicious, which work or waiting settles.
NETWORK_LIMITS = (parse("10/minute"), parse("60/hour"))
THREAD_LIMIT = parse("30/minute")
PREVIEW_LIMIT = parse("120/minute")
CALM = parse("5/minute")

comments = Blueprint("comments", __name__, url_prefix="/feedback/comments")
comments.after_request(keep_private)


@comments.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Show the form; preview; post."""
    form = CommentForm()
    with house().store.asking() as driver:
        thread = open_thread(driver, request.args.get("post", ""))
    parent = _parent(thread) if thread and "parent" in request.args else None
    if thread is None:
        return render_template("comments/no_post.html", text=form.body.data), 404
    if is_closed(thread, days=house().settings.close_after_days, now=clock.now()):
        return render_template("comments/closed.html", thread=thread, text=form.body.data), 403
    if "parent" in request.args and parent is None:
        return _page(form, thread, None, problem=GONE), 404
    return _page(form, thread, parent) if request.method != "POST" else _sent(form, thread, parent)


def _sent(form: CommentForm, thread: OpenThread, parent: Comment | None) -> ResponseReturnValue:
    if not form.validate():
        return _page(form, thread, parent, problem=too_late() if forged(form) else None), 400
    preview = request.form.get("action") == "preview"
    if not _admitted(thread, preview=preview):
        return _page(form, thread, parent, problem=TOO_MUCH), 429, {"Retry-After": "60"}
    if preview:
        shown = Markup(comment_html(form.body.data))  # noqa: S704 - the gate's own output
        return _page(form, thread, parent, preview=shown)
    if _is_stale():
        return _page(form, thread, parent, problem=TOO_LATE), 400
    return _post(form, thread, parent)


@comments.get("/received")
def received() -> ResponseReturnValue:
    """Say what happens to a comment that was posted, and what can be done with it."""
    now = clock.now()
    with house().store.reading() as reading:
        thread = find_thread(reading, request.args.get("post", ""))
        mine = own_in_thread(reading, thread, session.get("comments", [])) if thread else []
    if thread is None:
        return render_template("comments/no_post.html", text=None), 404
    comment = mine[-1] if mine else None
    waits = comment.status is CommentStatus.PENDING if comment else request.args.get("waits") == "yes"
    work = None
    if comment and waits and settled_by_work(comment.reasons):
        work = work_for(house().signer, comment.id, now=now)
    return render_template(
        "comments/received.html",
        thread=thread,
        waits=waits,
        comment=comment,
        changeable=comment is not None and is_own(comment, session.get("comments", []), now=now),
        work=work,
        asked=request.args.get("asked") == "yes",
        form=ButtonForm(),
    )


@comments.post("/work")
def work() -> ResponseReturnValue:
    """A browser has worked for a comment that looked suspicious."""
    form = ButtonForm()
    now = clock.now()
    number = worked_for(house().signer, request.form.get("altcha", ""), now=now) if form.validate() else None
    path = request.args.get("post", "")
    if number is not None:
        with house().store.writing() as writing:
            comment = writing.get(Comment, number, with_for_update=True)
            if comment is not None and comment.id in session.get("comments", []):
                accept_work(writing, comment, now=now)
    # Where it was not good enough, the comment waits, as it did before.
    return redirect(url_for("comments.received", post=path), code=303) if number else _bad_work(path)


def _bad_work(path: str) -> ResponseReturnValue:
    with house().store.reading() as reading:
        thread = find_thread(reading, path)
    if thread is None:
        return render_template("comments/no_post.html", text=None), 404
    page = {"thread": thread, "waits": True, "comment": None, "changeable": False, "work": None, "asked": False}
    return render_template("comments/received.html", **page, form=ButtonForm()), 400


def too_late() -> str:
    """What is wrong with a form that came without its own token; it says only of what is there that it is."""
    if not request.form:
        return NOTHING_CAME
    return TOO_LATE if any(request.form.get(name) for name in ("body", "author", "email")) else LATE


def rules(settings: Settings) -> Rules:
    """What the shop lets through."""
    return Rules(settings.moderation, settings.spam_words, settings.most_links)


def _parent(thread: OpenThread) -> Comment | None:
    number = request.args.get("parent", "")
    if not number.isascii() or not number.isdigit() or len(number) > LONGEST_NUMBER:
        return None
    with house().store.reading() as reading:
        return find_parent(reading, thread.id, int(number))


def _page(
    form: CommentForm,
    thread: OpenThread,
    parent: Comment | None,
    *,
    preview: Markup | None = None,
    problem: str | None = None,
) -> str:
    late = _opened() is None or problem in {TOO_LATE, LATE}
    return render_template(
        "comments/new.html",
        form=form,
        # An answer to what is gone becomes a comment of its own.
        action=form_url(thread.path, parent.id if parent else None),
        thread=thread,
        parent=parent,
        preview=preview,
        problem=problem,
        service=house().settings.akismet_url is not None,
        seal=seal_form(house().signer, now=clock.now()) if late else _seal(),
        trap=_trap(),
    )


def _admitted(thread: OpenThread, *, preview: bool) -> bool:
    if house().settings.rate_limits is Switch.OFF:
        return True
    admit = house().limits.admit
    if preview:
        return admit(PREVIEW_LIMIT, "preview", whence())
    return admits_network("comments") and admit(THREAD_LIMIT, "thread", str(thread.id))


def admits_network(what: str) -> bool:
    """Whether there may be one more of this from where the request comes from; each is counted for itself."""
    return all(house().limits.admit(limit, what, whence()) for limit in NETWORK_LIMITS)


def _seal() -> str:
    return request.form.get("seal", "")


def _trap() -> str:
    """What is in the field that nobody can see."""
    return request.form.get("website", "")


def _opened() -> datetime | None:
    """When the form that was sent was opened; looked into once."""
    if "opened" not in g:
        g.opened = opened_at(house().signer, _seal())
    return cast("datetime | None", g.opened)


def _is_stale() -> bool:
    opened = _opened()
    timed = house().settings.rate_limits is Switch.ON
    return timed and opened is not None and clock.now() - opened > LONGEST


def _reasons(form: CommentForm, thread: OpenThread) -> list[str]:
    """What the form and the services have against a comment."""
    reasons = []
    if _trap():
        reasons.append(TRAPPED)
    reasons += service_says(form.author.data, form.body.data, thread.path)
    if house().settings.rate_limits is Switch.ON:
        opened = _opened()
        if opened is None:
            reasons.append(NO_TIME)
        elif clock.now() - opened < SHORTEST:
            reasons.append(TOO_FAST)
        if not house().limits.admit(CALM, "calm", whence()):
            reasons.append(CROWDED)
    return reasons


def service_says(author: str, text: str, path: str) -> list[str]:
    """What a spam service has against a comment, where the owner has chosen one."""
    settings = house().settings
    if not settings.akismet_url:
        return []
    said = akismet.ask(
        settings.akismet_url,
        site_url=settings.site_url,
        author=author,
        text=text,
        page=settings.site_url + path,
        network_address=request.remote_addr or "",
        browser=request.user_agent.string[:300],
    )
    return [said] if said else []


def _post(form: CommentForm, thread: OpenThread, parent: Comment | None) -> ResponseReturnValue:
    mine: list[int] = session.get("comments", [])
    sealed = _opened() is not None
    reasons = _reasons(form, thread)
    same = (_seal(), thread.id, parent.id if parent else 0, form.author.data, form.email.data, form.body.data)
    store, rated, now = house().store, rules(house().settings), clock.now()
    signs, once = Signs(mine, reasons), form_hash(*same) if sealed else None
    words = weigh(form.author.data, form.body.data, rated)
    if parent or form.address:
        # Somebody has to be asked, or told.
        proven = tuple(session.get("proven", ()))
        comment = store.write(
            lambda writing: post_comment(
                writing,
                thread.id,
                words,
                address=form.address,
                parent=parent,
                rules=rated,
                signs=signs,
                now=now,
                form_hash=once,
                notify=form.notify.data,
                proven=proven,
            )
        )
    else:
        comment = store.drive(
            lambda driver: post_words(driver, thread.id, words, rules=rated, signs=signs, now=now, form_hash=once)
        )
    session["comments"] = [*(number for number in mine if number != comment.id), comment.id][-MOST_REMEMBERED:]
    waits = comment.status is CommentStatus.PENDING
    # To a place that is known: to look for it, and to write a page about it, takes longer than to keep the comment.
    return "", 303, {"Location": received_url(thread.path, waits=waits, asked=form.notify.data)}
