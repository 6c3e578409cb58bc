"""The comment form's page, and what comes after it."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from limits import parse
from markupsafe import Markup

from feedback_app import clock
from feedback_app.comments.author_edits import accept_work, may_change, sent_in_thread
from feedback_app.comments.forms import CommentForm
from feedback_app.comments.markup.sanitizer import comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.posting import post_comment, prepare_text
from feedback_app.comments.services import find_parent
from feedback_app.comments.spam import akismet
from feedback_app.comments.spam.form_seal import LONGEST_OPEN, SHORTEST_OPEN, form_hash, opened_at, seal_form
from feedback_app.comments.spam.proof_of_work import make_work, verified_work
from feedback_app.comments.spam.verdicts import CROWDED, NO_TIME, TOO_FAST, TRAPPED, Evidence, Rules, settled_by_work
from feedback_app.comments.threads.closing import is_closed
from feedback_app.comments.threads.registry import find_thread
from feedback_app.comments.threads.renderer import form_url, received_url
from feedback_app.config import Settings, Switch
from feedback_app.web.app_state import AppState, app_state
from feedback_app.web.forms import ButtonForm, csrf_failed, parse_number
from feedback_app.web.headers import keep_private

MOST_REMEMBERED = 20
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


@dataclass(frozen=True, slots=True)
class _FormRequest:
    """What somebody asks of the form: on which post, in answer to what, and what it brought along.

    `opened` is when it was opened, None where it does not say so in our hand; `trap` is the field that nobody can see.
    """

    state: AppState
    form: CommentForm
    thread: Thread
    parent: Comment | None
    seal: str
    opened: datetime | None
    trap: str


@comments.route("/new", methods=["GET", "POST"])
def new() -> ResponseReturnValue:
    """Show the form; preview; post."""
    state, form = app_state(), CommentForm()
    where, sent = request.args, request.form
    with state.store.reading() as reading:
        thread = find_thread(reading, where.get("post", ""))
    if thread is None:
        return render_template("comments/no_post.html", text=form.body.data), 404
    if is_closed(thread, days=state.settings.close_after_days, now=clock.now()):
        return render_template("comments/closed.html", thread=thread, text=form.body.data), 403
    parent = _parent(state, thread, where["parent"]) if "parent" in where else None
    seal = sent.get("seal", "")
    asked = _FormRequest(state, form, thread, parent, seal, opened_at(state.signer, seal), sent.get("website", ""))
    if "parent" in where and parent is None:
        return _page(asked, problem=GONE), 404
    return _page(asked) if request.method != "POST" else _sent(asked, preview=sent.get("action") == "preview")


def _sent(asked: _FormRequest, *, preview: bool) -> ResponseReturnValue:
    form = asked.form
    if not form.validate():
        return _page(asked, problem=too_late() if csrf_failed(form) else None), 400
    if not _admitted(asked, preview=preview):
        return _page(asked, problem=TOO_MUCH), 429, {"Retry-After": "60"}
    if preview:
        shown = Markup(comment_html(form.body.data))  # noqa: S704 - the gate's own output
        return _page(asked, preview=shown)
    if _is_timed(asked) and asked.opened and clock.now() - asked.opened > LONGEST_OPEN:
        return _page(asked, problem=TOO_LATE), 400
    return _post(asked)


@comments.get("/received")
def received() -> ResponseReturnValue:
    """Say what happens to a comment that was posted, and what can be done with it."""
    now = clock.now()
    with app_state().store.reading() as reading:
        thread = find_thread(reading, request.args.get("post", ""))
        mine = sent_in_thread(reading, thread, session.get("comments", [])) if thread else []
    if thread is None:
        return render_template("comments/no_post.html", text=None), 404
    comment = mine[-1] if mine else None
    waits = comment.status is CommentStatus.PENDING if comment else request.args.get("waits") == "yes"
    work = None
    if comment and waits and settled_by_work(comment.reasons):
        work = make_work(app_state().signer, comment.id, now=now)
    return render_template(
        "comments/received.html",
        thread=thread,
        waits=waits,
        comment=comment,
        changeable=comment is not None and may_change(comment, session.get("comments", []), now=now),
        work=work,
        asked=request.args.get("asked") == "yes",
        form=ButtonForm(),
    )


@comments.post("/work")
def work() -> ResponseReturnValue:
    """A browser has worked for a comment that looked suspicious."""
    form = ButtonForm()
    now = clock.now()
    number = verified_work(app_state().signer, request.form.get("altcha", ""), now=now) if form.validate() else None
    path = request.args.get("post", "")
    if number is not None:
        with app_state().store.writing() as writing:
            comment = writing.get(Comment, number, with_for_update=True)
            if comment is not None and comment.id in session.get("comments", []):
                accept_work(writing, comment, now=now)
    # Where it was not good enough, the comment waits, as it did before.
    return redirect(url_for("comments.received", post=path), code=303) if number else _bad_work(path)


def _bad_work(path: str) -> ResponseReturnValue:
    with app_state().store.reading() as reading:
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


def _parent(state: AppState, thread: Thread, number: str) -> Comment | None:
    known = parse_number(number)
    if known is None:
        return None
    with state.store.reading() as reading:
        return find_parent(reading, thread.id, known)


def _page(asked: _FormRequest, *, preview: Markup | None = None, problem: str | None = None) -> str:
    thread, parent = asked.thread, asked.parent
    late = asked.opened is None or problem in {TOO_LATE, LATE}
    return render_template(
        "comments/new.html",
        form=asked.form,
        # An answer to what is gone becomes a comment of its own.
        action=form_url(thread.path, parent.id if parent else None),
        thread=thread,
        parent=parent,
        preview=preview,
        problem=problem,
        service=asked.state.settings.akismet_url is not None,
        seal=seal_form(asked.state.signer, now=clock.now()) if late else asked.seal,
        trap=asked.trap,
    )


def _admitted(asked: _FormRequest, *, preview: bool) -> bool:
    if not _is_timed(asked):
        return True
    admit = asked.state.limits.admit
    if preview:
        return admit(PREVIEW_LIMIT, "preview", app_state().limits.client_network_hash())
    return admits_network("comments") and admit(THREAD_LIMIT, "thread", str(asked.thread.id))


def _is_timed(asked: _FormRequest) -> bool:
    """Whether it matters how much comes, and how long a form was open."""
    return asked.state.settings.rate_limits is Switch.ON


def admits_network(what: str) -> bool:
    """Whether there may be one more of this from where the request comes from; each is counted for itself."""
    return all(
        app_state().limits.admit(limit, what, app_state().limits.client_network_hash()) for limit in NETWORK_LIMITS
    )


def _reasons(asked: _FormRequest) -> list[str]:
    """What the form and the services have against a comment."""
    form, reasons = asked.form, []
    if asked.trap:
        reasons.append(TRAPPED)
    reasons += service_says(asked.state.settings, form.author.data, form.body.data, asked.thread.path)
    if _is_timed(asked):
        if asked.opened is None:
            reasons.append(NO_TIME)
        elif clock.now() - asked.opened < SHORTEST_OPEN:
            reasons.append(TOO_FAST)
        if not asked.state.limits.admit(CALM, "calm", app_state().limits.client_network_hash()):
            reasons.append(CROWDED)
    return reasons


def service_says(settings: Settings, author: str, text: str, path: str) -> list[str]:
    """What a spam service has against a comment, where the owner has chosen one."""
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


def _post(asked: _FormRequest) -> ResponseReturnValue:
    form, thread, parent, store = asked.form, asked.thread, asked.parent, asked.state.store
    mine: list[int] = session.get("comments", [])
    proven = tuple(session.get("proven", ()))
    same = (asked.seal, thread.id, parent.id if parent else 0, form.author.data, form.email.data, form.body.data)
    once = form_hash(*same) if asked.opened else None
    evidence = Evidence(mine, _reasons(asked))
    shop_rules = rules(asked.state.settings)
    prepared = prepare_text(form.author.data, form.body.data, shop_rules)
    # The time is taken only now: a spam service may have been asked.
    now = clock.now()
    posted = store.write(
        lambda writing: post_comment(
            writing,
            thread.id,
            prepared,
            rules=shop_rules,
            evidence=evidence,
            now=now,
            address=form.address,
            parent=parent,
            form_hash=once,
            notify=form.notify.data,
            proven=proven,
        )
    )
    session["comments"] = [*(number for number in mine if number != posted.id), posted.id][-MOST_REMEMBERED:]
    waits = posted.status is CommentStatus.PENDING
    return redirect(received_url(thread.path, waits=waits, asked=form.notify.data), code=303)
