"""The owner moderates: searches, decides, edits, answers, closes, and undoes it exactly."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import select, update

from feedback_app.audit_log import AuditLine, forget_words, lines_of, new_batch
from feedback_app.cli import undisclosed
from feedback_app.comments.author_edits import delete_comment
from feedback_app.comments.decisions import Decision
from feedback_app.comments.markup.sanitizer import comment_html, says_anything
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.moderation import answer_as, close_thread, decide_as, edit_as_owner, open_thread, undo
from feedback_app.comments.threads.closing import close_by_age, is_closed
from feedback_app.config import Moderation, Settings
from feedback_app.console import Context
from feedback_app.customers.addresses import Address
from feedback_app.customers.services import find_customer
from feedback_app.db.store import Store
from feedback_app.privacy.erasing import erase_customer
from feedback_app.privacy.retention import purge
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import BISCUIT, OPPS, comment_of, publish, say, set_status, thread_of
from tests.support.databases import SQLITE
from tests.support.signing_in import ADMIN, fill, token

# Only queries depend on the database; they run on both below.
on_sqlite = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


def numbers(page: str) -> list[int]:
    """Return the numbers of the comments on a page of the queue, from top to bottom."""
    return [int(number) for number in re.findall(r'<article class="card" id="comment-(\d+)"', page)]


def test_the_owner_finds_comments_by_state_post_reason_and_words(at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS, BISCUIT)
    waits = say(store, "Odd socks, 100% wool.", moderation=Moderation.ALL)
    other = say(store, "Biscuit is a good dog.", moderation=Moderation.FIRST, post=BISCUIT.path, author="Walter")
    shown = say(store, "Shown at once.")
    assert numbers(at_work.get(f"{ADMIN}/").text) == [waits.id, other.id]
    for query, found in {
        "state=any": [shown.id, other.id, waits.id],
        "state=approved": [shown.id],
        "post=biscuit": [other.id],
        "words=ODD": [waits.id],
        "words=walter": [other.id],
        # A percent sign and an underscore are no wildcards.
        "words=0%25": [waits.id],
        "words=%25": [waits.id],
        "words=_": [],
        "reason=the+first+comment+from+this+browser": [other.id],
        "reason=links": [],
        "state=nonsense&reason=nonsense": [waits.id, other.id],
        "words=%00": [waits.id, other.id],
        f"after={waits.id}": [other.id],
        "after=-1": [waits.id, other.id],
    }.items():
        assert numbers(at_work.get(f"{ADMIN}/?{query}").text) == found, query
    assert "It waits because: the first comment from this browser" in at_work.get(f"{ADMIN}/").text


@on_sqlite
def test_a_button_decides_keeps_the_filters_and_can_be_undone(at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS)
    first, second = (say(store, text, moderation=Moderation.ALL) for text in ("One word.", "Another one."))
    page = fill(at_work, f"{ADMIN}/?words=one", only=f"spam {first.id}")
    assert page.request.args.to_dict() == {"words": "one"}
    assert "1 comment: spam." in page.text
    assert numbers(page.text) == [second.id]
    batch = re.search(r'name="batch" value="(\w+)"', page.text)
    assert batch
    back = at_work.post(
        f"{ADMIN}/undo",
        data={"csrf_token": token(page.text), "batch": batch[1], "back": f"{ADMIN}/?words=one"},
        follow_redirects=True,
    )
    assert "1 thing undone." in back.text
    assert numbers(back.text) == [first.id, second.id]
    assert comment_of(store, first.id).changed_at == first.changed_at
    elsewhere = {"csrf_token": token(back.text), "batch": batch[1], "back": "//evil.example/feedback/admin/"}
    assert at_work.post(f"{ADMIN}/undo", data=elsewhere).headers["Location"] == f"{ADMIN}/"


@on_sqlite
def test_the_owner_edits_and_answers_and_both_are_marked(at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS)
    waits = say(store, "Some words with a typpo.", moderation=Moderation.ALL)
    path = f"{ADMIN}/comments/{waits.id}"
    said = fill(at_work, path, f"{path}/edit", author="Nora", body="Some words with a typo.").text
    assert "Edited by the shop" in said
    empty = fill(at_work, path, f"{path}/answer", author="Mongrel Socks", body="\u200b")
    assert empty.status_code == 400
    assert "Approve and answer" in empty.text
    fill(at_work, path, f"{path}/answer", author="Mongrel Socks", body="Thank you, call me@shop.example!")
    with store.reading() as session:
        edited, answer = session.scalars(select(Comment).order_by(Comment.id)).all()
    assert (edited.status, edited.edited_by_owner) == (CommentStatus.APPROVED, True)
    assert (answer.by_owner, answer.parent_id, answer.status) == (True, waits.id, CommentStatus.APPROVED)
    assert "shop.example" not in answer.text
    log = at_work.get(f"{ADMIN}/log").text
    assert "edited, comment 1" in log
    assert "answered, comment 1 on Opps!, with comment 2" in log


@on_sqlite
@pytest.mark.parametrize("path", ["comments/0", "comments/99", "comments/x", f"comments/{'9' * 40}", "posts/burn"])
def test_an_unknown_comment_or_post_is_not_found(at_work: FlaskClient, store: Store, path: str) -> None:
    publish(store, OPPS)
    assert at_work.get(f"{ADMIN}/{path}").status_code in {404, 405}
    form = {"csrf_token": token(at_work.get(f"{ADMIN}/posts").text), "author": "N", "body": "Words"}
    for more in ("", "/edit", "/answer"):
        assert at_work.post(f"{ADMIN}/{path}{more}", data=form).status_code in {404, 405}


@on_sqlite
def test_without_a_csrf_token_nothing_is_done(at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS)
    waits = say(store, moderation=Moderation.ALL)
    for path, form in {
        "/": {"only": f"delete {waits.id}"},
        f"/comments/{waits.id}/edit": {"author": "Eve", "body": "Other words, typed at length."},
        f"/comments/{waits.id}/answer": {"author": "Eve", "body": "Other words, typed at length."},
        "/posts/close": {"thread": "1"},
        "/undo": {"batch": "x"},
    }.items():
        answer = at_work.post(ADMIN + path, data=form)
        assert answer.status_code == 400
        assert form.get("body", "") in answer.text
    assert comment_of(store, waits.id).status is CommentStatus.PENDING
    assert thread_of(store).closed_at is None


@on_sqlite
def test_a_closed_post_is_marked_on_the_owners_page_and_can_be_opened(
    at_work: FlaskClient, client: FlaskClient, store: Store
) -> None:
    publish(store, OPPS)
    form = f"/feedback/comments/new?post={OPPS.path}"
    said = fill(at_work, f"{ADMIN}/posts", f"{ADMIN}/posts/close", thread="1").text
    assert "Opps! takes no new comments." in said
    assert client.get(form).status_code == 403
    fill(at_work, f"{ADMIN}/posts", f"{ADMIN}/posts/open", thread="1")
    assert client.get(form).status_code == 200
    log = at_work.get(f"{ADMIN}/log").text
    assert "closed, Opps!" in log
    assert "opened, Opps!" in log


def test_a_post_is_closed_by_its_age_unless_the_owner_opens_it(store: Store) -> None:
    publish(store, OPPS, BISCUIT)
    day = OPPS_DAY + timedelta(days=1)

    def closed(days: int) -> list[bool]:
        with store.writing() as session:
            close_by_age(session, days=days, now=day)
        threads = [thread_of(store, post) for post in (OPPS, BISCUIT)]
        assert [thread.closed_at is not None for thread in threads] == [
            is_closed(thread, days=days, now=day) for thread in threads
        ]
        return [thread.closed_at is not None for thread in threads]

    assert closed(0) == [False, False]
    versions = [thread_of(store, post).version for post in (OPPS, BISCUIT)]
    assert closed(30) == [False, True]
    assert [thread_of(store, post).version for post in (OPPS, BISCUIT)] == [versions[0], versions[1] + 1]
    # The form closes at once, before any page is rebuilt.
    assert is_closed(thread_of(store), days=1, now=day)
    assert not is_closed(thread_of(store), days=1, now=day - timedelta(seconds=1))
    with store.writing() as session:
        assert open_thread(
            session, session.get_one(Thread, thread_of(store, BISCUIT).id), who="nora", now=day, batch="x"
        )
    assert closed(30) == [False, False]
    assert closed(1) == [True, False]
    assert closed(0) == [False, False]


@on_sqlite
def test_commands_are_recorded_in_the_audit_log(at_work: FlaskClient, store: Store, settings: Settings) -> None:
    publish(store, OPPS)
    waits = say(store, moderation=Moderation.ALL)
    context = Context()
    context.__dict__["settings"] = settings
    done = CliRunner().invoke(undisclosed, ["comments", "approve", str(waits.id)], obj=context)
    assert done.output == "1 comment approved.\n"
    assert (
        f"<strong>command line</strong>: decided, comment {waits.id} on Opps!: approved"
        in at_work.get(f"{ADMIN}/log").text
    )


@on_sqlite
def test_a_comments_reasons_are_shown_with_it_and_not_in_the_log(at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS)
    waits = say(store, "Odd socks.", moderation=Moderation.FIRST)
    shown = say(store, "Odd socks are socks.")
    page = at_work.get(f"{ADMIN}/comments/{waits.id}").text
    assert "<strong>a reader</strong>: posted, waits: the first comment from this browser" in page
    assert "<strong>a reader</strong>: posted, shown at once" in at_work.get(f"{ADMIN}/comments/{shown.id}").text
    assert "a reader" not in at_work.get(f"{ADMIN}/log").text


Step = Callable[[Store, int], None]
# As forms accept them: visible text.
WORDS = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda words: says_anything(comment_html(words))
)
STEPS = st.one_of(
    st.sampled_from(Decision).map(lambda decision: ("decide", decision)),
    WORDS.map(lambda words: ("edit", words)),
    st.just(("answer", "Thank you")),
    st.sampled_from(["close", "open"]).map(lambda verb: (verb, "")),
)


def everything(store: Store) -> list[str]:
    """Return what readers and the owner see of comments and threads, without deleted comments."""
    with store.reading() as session:
        alive = select(Comment).where(Comment.status != CommentStatus.DELETED).order_by(Comment.id)
        comments = [
            repr({name: value for name, value in vars(comment).items() if not name.startswith("_")})
            for comment in session.scalars(alive)
        ]
        threads = [repr((thread.closing, thread.closed_at)) for thread in session.scalars(select(Thread))]
        return comments + threads


def press(store: Store, step: tuple[str, str], number: int, clock: Clock) -> str:
    """Act as the owner; return the batch of the audit log."""
    batch = new_batch()
    verb, what = step
    clock.advance(minutes=1)
    by = {"who": "nora", "now": clock.now(), "batch": batch}
    with store.writing() as session:
        comment = session.get_one(Comment, number)
        thread = session.get_one(Thread, comment.thread_id)
        if verb == "decide":
            decide_as(session, [number], Decision(what), **by)  # type: ignore[arg-type]
        elif verb == "edit":
            edit_as_owner(session, comment, author="Nora", text=what, **by)  # type: ignore[arg-type]
        elif verb == "answer":
            answer_as(session, thread, comment, author="Shop", text=what, **by)  # type: ignore[arg-type]
        else:
            (close_thread if verb == "close" else open_thread)(session, thread, **by)  # type: ignore[arg-type]
    return batch


@on_sqlite
@hypothesis(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=5), status=st.sampled_from(["pending", "approved"]))
def test_undoing_everything_in_reverse_order_restores_everything(
    store: Store, clock: Clock, steps: list[tuple[str, str]], status: str
) -> None:
    publish(store, OPPS)
    number = say(
        store,
        "Write to me@example.com, or don't.",
        moderation=Moderation.ALL,
        now=clock.now(),
    ).id
    if status == "approved":
        set_status(store, CommentStatus.APPROVED, comment_of(store, number), now=clock.now())
    seen = [everything(store)]
    batches = []
    for step in steps:
        batches.append(press(store, step, number, clock))
        seen.append(everything(store))
    version = thread_of(store).version
    for batch, before, after in zip(batches[::-1], seen[-2::-1], seen[:0:-1], strict=True):
        again = new_batch()
        with store.writing() as session:
            had = len([line for line in lines_of(session, batch) if line.before is not None])
            assert undo(session, batch, who="nora", now=clock.now(), new_batch=again).done == had
        assert everything(store) == before
        with store.writing() as session:
            assert undo(session, again, who="nora", now=clock.now(), new_batch=new_batch()).left == 0
        assert everything(store) == after
        with store.writing() as session:
            undo(session, batch, who="nora", now=clock.now(), new_batch=new_batch())
        assert everything(store) == before
    assert thread_of(store).version >= version
    with store.writing() as session:
        session.execute(update(Comment).values(status=CommentStatus.DELETED))


@on_sqlite
def test_what_was_changed_since_is_not_undone(store: Store, clock: Clock) -> None:
    publish(store, OPPS)
    comment = say(store)
    batch = press(store, ("edit", "The shop's words."), comment.id, clock)
    press(store, ("edit", "Later words."), comment.id, clock)
    with store.writing() as session:
        result = undo(session, batch, who="nora", now=clock.now(), new_batch=new_batch())
    assert (result.done, result.left) == (0, 1)
    assert comment_of(store, comment.id).text == "Later words."


@on_sqlite
@pytest.mark.parametrize("how", ["taken back", "erased", "a month"])
def test_erased_words_are_not_left_in_the_audit_log(store: Store, clock: Clock, how: str) -> None:
    publish(store, OPPS)
    comment = say(store, "My secret is odd.", address="nora@example.com")
    batch = press(store, ("edit", "Other words."), comment.id, clock)
    if how == "a month":
        clock.advance(days=31)
    other = say(store, "I said this lately, and it is mine.")
    another = press(store, ("edit", "The shop's words."), other.id, clock)
    with store.writing() as session:
        if how == "taken back":
            delete_comment(session, session.get_one(Comment, comment.id), now=clock.now())
        elif how == "erased":
            customer = find_customer(session, Address.parse("nora@example.com"))
            assert customer
            erase_customer(session, customer, now=clock.now())
        else:
            purge(session, now=clock.now())
    with store.writing() as session:
        [line] = lines_of(session, batch)
        assert (line.before, line.after) == (None, None)
        assert undo(session, batch, who="nora", now=clock.now(), new_batch=new_batch()).done == 0
        kept = session.scalars(select(AuditLine)).all()
        assert all("secret" not in repr(vars(line)) for line in kept)
        # Recent acts on other comments can still be undone.
        assert undo(session, another, who="nora", now=clock.now(), new_batch=new_batch()).done == 1
    assert comment_of(store, other.id).text == "I said this lately, and it is mine."


def test_the_logs_old_words_are_found_by_an_index(sqlite_store: Store, clock: Clock) -> None:
    asked: list[str] = []
    with sqlite_store.writing() as session:
        driver: Any = session.connection().connection.dbapi_connection
        driver.set_trace_callback(lambda statement: asked.append(statement) if "UPDATE audit" in statement else None)
        forget_words(session, AuditLine.at <= clock.now())
        driver.set_trace_callback(None)
        [plan] = [" ".join(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")) for statement in asked]
    assert "USING INDEX ix_audit_lines_at (at<?)" in plan
