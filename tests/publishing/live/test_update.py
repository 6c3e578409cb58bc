"""The promise: what follows the store is, byte for byte, what a full build would have written."""

import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.moderation import close_thread, edit_as_owner, open_thread
from feedback_app.comments.services import list_comments
from feedback_app.comments.threads.registry import find_thread
from feedback_app.config import Moderation, Settings, load_settings
from feedback_app.db.setup import open_store
from feedback_app.publishing import daemon
from feedback_app.publishing.files.swap import swap
from feedback_app.publishing.files.write import WriteCounts, write_if_changed
from feedback_app.publishing.live import update
from feedback_app.publishing.pelican.build import Build
from feedback_app.publishing.render.fragments import count_piece, counted, rebaked, thread_piece
from tests.support.blog import Blog, make_blog, tree
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import OPPS, say, set_status
from tests.support.databases import SQLITE
from tests.support.keys import ADDRESS_KEY
from tests.support.shop import wait_for

POSTS = ("/2007/06/biscuit.html", "/2007/10/opps.html", "/2007/11/pie.html")
APPROVED = CommentStatus.APPROVED
STEPS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(POSTS), st.sampled_from([Moderation.ALL, Moderation.NONE])),
    st.tuples(st.just("answer"), st.integers(0, 99), st.sampled_from(["Alice", "Bob & <Co>"])),
    st.tuples(st.just("decide"), st.integers(0, 99), st.sampled_from(list(CommentStatus))),
    st.tuples(st.just("shut"), st.sampled_from(POSTS), st.booleans()),
    st.tuples(st.just("follow")),
    st.tuples(st.just("build")),
    st.tuples(st.just("retitle"), st.sampled_from(["Opps!", "Sorry & thanks", "“Undisclosed”"])),
)


class Killed(BaseException):
    """The power goes."""


def all_comments(blog: Blog) -> list[Comment]:
    """Every comment there is."""
    with blog.store.reading() as session:
        return [comment for comment, _ in list_comments(session)]


def path_of(blog: Blog, comment: Comment) -> str:
    """The post a comment belongs to."""
    with blog.store.reading() as session:
        return next(thread.path for row, thread in list_comments(session) if row.id == comment.id)


def take(blog: Blog, clock: Clock, step: tuple[object, ...]) -> None:
    """Let one thing happen."""
    now = clock.advance(minutes=7)
    comments = all_comments(blog)
    match step:
        case "say", str(post), Moderation() as moderation:
            say(blog.store, "Well, *well*.", post=post, moderation=moderation, now=now)
        case "answer", int(which), str(author) if comments:
            parent = comments[which % len(comments)]
            say(blog.store, "I think so too.", author=author, post=path_of(blog, parent), parent=parent, now=now)
        case "decide", int(which), CommentStatus() as status if comments:
            set_status(blog.store, status, comments[which % len(comments)], now=now)
        case "shut", str(post), bool(closed):
            with blog.store.writing() as session:
                thread = find_thread(session, post)
                assert thread
                act = close_thread if closed else open_thread
                act(session, thread, who="nora", now=now, batch="x")
        case ("follow",):
            blog.follow()
        case ("build",):
            blog.build()
        case "retitle", str(title):
            blog.write("opps", title)
            blog.build()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=3, max_size=12))
def test_whatever_happens_the_site_ends_as_a_full_build_would_make_it(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("blog")
    (folder / "instance").mkdir()
    shutil.copy(sqlite_template, folder / "instance" / "store.db")
    names = {"instance": folder / "instance", "content": folder / "content", "output": folder / "output"}
    environment = {f"UNDISCLOSED_{name.upper()}": str(path) for name, path in names.items()}
    own = load_settings(environment | {"UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY})
    store = open_store(own)
    try:
        blog, clock = make_blog(folder, own, store), Clock(OPPS_DAY)
        blog.build()
        for step in steps:
            take(blog, clock, step)
        blog.follow()
        assert tree(blog.output) == blog.built_elsewhere()
        assert blog.follow() == 0
    finally:
        store.close()
        shutil.rmtree(folder)


def test_an_approved_answer_is_everywhere_it_belongs_at_once(blog: Blog) -> None:
    blog.build()
    nora = say(blog.store)
    bob = say(blog.store, "Thank you.", author="Bob", parent=nora)
    assert blog.follow() == 1
    for name in ("index.html", "archives.html", "2007/10/index.html", "label/privacy.html", "2007/10/opps.html"):
        assert "2 Comments" in blog.page(name), name
    for name in ("feeds/comments.atom.xml", "2007/10/opps.comments.atom.xml"):
        assert f"comment-{bob.id}</id>" in blog.page(name), name
    assert tree(blog.output) == blog.built_elsewhere()
    set_status(blog.store, CommentStatus.DELETED, nora)
    blog.follow()
    assert "2 Comments" not in blog.page("index.html")
    assert tree(blog.output) == blog.built_elsewhere()


def test_a_closed_post_says_so_in_place_of_the_way_to_the_form(blog: Blog, clock: Clock) -> None:
    blog.build()
    nora = say(blog.store)
    with blog.store.writing() as session:
        thread = find_thread(session, OPPS.path)
        assert thread
        close_thread(session, thread, who="nora", now=clock.now(), batch="x")
        comment = session.get_one(Comment, nora.id)
        edit_as_owner(session, comment, author="Nora", text="Use Bcc.", who="nora", now=clock.now(), batch="y")
    blog.follow()
    page = blog.page("2007/10/opps.html")
    assert "This post takes no new comments." in page
    assert "Post a Comment" not in page
    assert 'class="reply"' not in page
    assert "edited by the shop" in page
    assert tree(blog.output) == blog.built_elsewhere()
    with blog.store.writing() as session:
        open_thread(session, session.get_one(Thread, thread.id), who="nora", now=clock.now(), batch="z")
    blog.follow()
    assert "Post a Comment" in blog.page("2007/10/opps.html")
    assert tree(blog.output) == blog.built_elsewhere()


def test_old_posts_close_by_themselves_also_when_they_are_published_now(blog: Blog, clock: Clock) -> None:
    days = (clock.now() - OPPS_DAY).days + 100
    own = replace(blog, settings=blog.settings.model_copy(update={"close_after_days": days}))
    own.build()
    # The post of the summer was too old before the store had heard of it.
    assert "takes no new comments" in own.page("2007/06/biscuit.html")
    assert "Post a Comment" in own.page("2007/10/opps.html")
    own.follow()
    assert tree(own.output) == own.built_elsewhere()
    clock.advance(days=days)
    own.build()
    assert "takes no new comments" in own.page("2007/10/opps.html")
    assert tree(own.output) == own.built_elsewhere()
    own.follow()
    assert tree(own.output) == own.built_elsewhere()


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_the_running_publisher_closes_a_post_when_it_has_become_too_old(
    blog: Blog, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(blog, settings=blog.settings.model_copy(update={"close_after_days": 365}))
    own.build()
    assert "Post a Comment" in own.page("2007/10/opps.html")
    monkeypatch.chdir(blog.folder)
    # Nobody touches a file: what happens is not a build's doing.
    monkeypatch.setattr(daemon, "watch_files", lambda *_: None)
    stop = threading.Event()
    running = threading.Thread(target=daemon.run_publisher, args=(own.settings, own.store, "w" * 32, stop))
    running.start()
    try:
        clock.advance(days=366)
        wait_for(lambda: "takes no new comments" in own.page("2007/10/opps.html"), "the post to be closed")
    finally:
        stop.set()
        running.join(30)
    assert tree(own.output) == own.built_elsewhere()


def test_nothing_is_done_when_nothing_a_reader_sees_has_changed(blog: Blog) -> None:
    assert blog.follow() == 0
    blog.build()
    say(blog.store, moderation=Moderation.ALL)
    assert blog.follow() == 0


def test_an_approval_while_a_build_is_running_is_caught_up_after_it(
    blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    blog.build()
    waiting = say(blog.store, moderation=Moderation.ALL)

    def approve_and_swap(stage: Path, output: Path, keep: list[str], lasting: set[str]) -> WriteCounts:
        set_status(blog.store, APPROVED, waiting)
        return swap(stage, output, keep, lasting)

    with monkeypatch.context() as patched:
        patched.setattr("feedback_app.publishing.output_update.swap", approve_and_swap)
        blog.build(full=True)
    assert f"comment-{waiting.id}" not in blog.page("2007/10/opps.html")
    assert blog.follow() == 1
    assert f"comment-{waiting.id}" in blog.page("2007/10/opps.html")
    assert tree(blog.output) == blog.built_elsewhere()


@pytest.mark.parametrize("files", [0, 1, 3, 7])
@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_a_follower_that_is_killed_between_two_files_is_redone(
    blog: Blog, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    blog.build()
    say(blog.store)
    say(blog.store, post="/2007/06/biscuit.html")
    left = files

    def write(path: Path, data: bytes, written: WriteCounts, *, folders: bool = True) -> None:
        nonlocal left
        if not left:
            # A kill in the middle of a file leaves no time to clean up.
            path.with_name(f".{path.name}.new").write_bytes(data[:100])
            raise Killed
        left -= 1
        write_if_changed(path, data, written, folders=folders)

    with monkeypatch.context() as patched:
        patched.setattr("feedback_app.publishing.live.update.write_if_changed", write)
        with pytest.raises(Killed):
            blog.follow()
    assert blog.follow() == 2
    assert tree(blog.output) == blog.built_elsewhere()


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_a_site_that_somebody_took_away_is_forgotten_and_built_again(blog: Blog) -> None:
    blog.build()
    shutil.rmtree(blog.output)
    say(blog.store)
    assert blog.follow() == 0
    blog.build()
    assert "1 Comment<" in blog.page("2007/10/opps.html")
    assert tree(blog.output) == blog.built_elsewhere()


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_a_site_built_elsewhere_is_not_written_to(
    blog: Blog, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    blog.build()
    before = tree(blog.output)
    say(blog.store)
    moved = make_settings(content=str(blog.settings.content), output=str(tmp_path / "other"))
    assert update.catch_up(moved, blog.store) == 0
    assert tree(blog.output) == before


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_two_who_follow_at_once_do_no_harm(blog: Blog) -> None:
    blog.build()
    for number in range(6):
        say(blog.store, f"Number {number}.", post=POSTS[number % 3])
    followers = [threading.Thread(target=blog.follow) for _ in range(4)]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join()
    assert tree(blog.output) == blog.built_elsewhere()


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_the_publisher_outlives_a_store_that_does_not_answer_and_a_folder_it_cannot_write_to(
    blog: Blog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(blog.folder)
    monkeypatch.setattr(daemon, "RETRY_SECONDS", 0.01)
    blog.build()
    problems: list[Exception] = [
        DBAPIError("SELECT 1", None, Exception("gone")),
        PermissionError(13, "Permission denied", "output"),
    ]
    caught_up = threading.Event()

    def follow(settings: Settings, store: object, *numbers: object) -> int:
        if problems:
            raise problems.pop(0)
        caught_up.set()
        return update.catch_up(settings, store, *numbers)  # type: ignore[arg-type]

    monkeypatch.setattr(daemon, "catch_up", follow)
    stop = threading.Event()
    thread = threading.Thread(target=daemon.run_publisher, args=(blog.settings, blog.store, "w" * 32, stop))
    with caplog.at_level(logging.ERROR):
        thread.start()
        assert caught_up.wait(30)
        comment = say(blog.store)
        wait_for(
            lambda: f"comment-{comment.id}" in blog.page("feeds/comments.atom.xml"), "the comment in the last file"
        )
        shutil.rmtree(blog.output)
        say(blog.store)
        wait_for((blog.output / "index.html").exists, "the site to be built again")
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert [record.getMessage() for record in caplog.records] == [
        "The store does not answer; until it does, the site stays as it is.",
        "The site can't be written: output: Permission denied",
    ]


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_an_edit_that_was_made_while_the_store_did_not_answer_is_built_once_it_does(
    blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(blog.folder)
    monkeypatch.setattr(daemon, "RETRY_SECONDS", 0.01)
    blog.build()
    file, away = blog.settings.content / "posts" / "opps.md", threading.Event()
    compare_threads, gone = Build.compare_threads, DBAPIError("SELECT 1", None, Exception("gone"))

    def asked(build: Build) -> set[str]:
        if "We are sorry." in file.read_text(encoding="utf-8") and not away.is_set():
            away.set()
            raise gone
        return compare_threads(build)

    monkeypatch.setattr(Build, "compare_threads", asked)
    stop = threading.Event()
    thread = threading.Thread(target=daemon.run_publisher, args=(blog.settings, blog.store, "w" * 32, stop))
    thread.start()
    blog.write("opps", "Opps", text="We are sorry.")
    assert away.wait(30)
    wait_for(lambda: "We are sorry." in blog.page("2007/10/opps.html"), "the edit")
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_pieces_are_put_only_where_they_belong() -> None:
    path, other = "/2007/10/a & b --> c.html", "/2007/10/a.html"
    page = (
        f"<p>{thread_piece(path, '<b>old</b>')}</p>{count_piece(path, '0 Comments')}{count_piece(other, '5 Comments')}"
    )
    assert counted(page) == {path, other}
    new = {("thread", path): thread_piece(path, r"\1 new"), ("count", path): count_piece(path, "1 < 2")}
    assert rebaked(page.encode(), new).decode() == (
        f"<p>{thread_piece(path, chr(92) + '1 new')}</p>{count_piece(path, '1 < 2')}{count_piece(other, '5 Comments')}"
    )
    assert rebaked(page.encode(), {}) == page.encode()
