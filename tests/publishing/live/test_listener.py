"""Hearing of threads that changed: at once, of whatever process changed them, and of nothing else."""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import text

from feedback_app.comments import services
from feedback_app.comments.models import CommentStatus
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import WorkerKind, beat
from feedback_app.publishing.live.listener import Follower
from feedback_app.publishing.render.fragments import FEW, rebaked, thread_piece
from tests.support.clock import OPPS_DAY
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status, thread_of
from tests.support.shop import Shop, wait_for

LONG = 60.0
NOTHING = threading.Event()


@pytest.fixture
def follower(store: Store, monkeypatch: pytest.MonkeyPatch) -> Follower:
    """An ear that has heard all there is, and looks by itself only after hours."""
    monkeypatch.setattr("feedback_app.publishing.live.listener.SURE_SECONDS", 3600.0)
    monkeypatch.setattr("feedback_app.publishing.live.listener.WHOLE_SECONDS", 3600.0)
    publish(store, OPPS)
    one = Follower(store)
    assert one.wait(0, NOTHING)
    while one.wait(0.05, NOTHING):
        pass
    return one


def test_whoever_waits_hears_of_an_approval_at_once(store: Store, follower: Follower) -> None:
    comment = say(store)
    assert follower.wait(LONG, NOTHING)
    other = threading.Thread(target=set_status, args=(store, CommentStatus.REJECTED, comment))
    started = time.monotonic()
    other.start()
    heard = follower.wait(LONG, NOTHING)
    other.join()
    assert heard
    # Not by having waited to the end.
    assert time.monotonic() - started < LONG / 2
    follower.close()


def test_it_is_known_which_threads_changed_since_somebody_asked(store: Store, follower: Follower) -> None:
    publish(store, OPPS, BISCUIT)
    numbers = [thread_of(store, post).id for post in (OPPS, BISCUIT)]
    while follower.wait(0.05, NOTHING):
        pass
    # At first nobody can say.
    assert follower.news() is None
    say(store)
    assert follower.wait(LONG, NOTHING)
    say(store, post=BISCUIT.path)
    assert follower.wait(LONG, NOTHING)
    assert follower.news() == set(numbers)
    assert follower.news() == set()
    follower.close()


def test_a_thread_of_which_nobody_told_is_found_a_moment_later(
    store: Store, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follower.news() is None
    monkeypatch.setattr(follower, "_something_happened", lambda *_: False)
    say(store)
    assert not follower.wait(0, NOTHING)
    monkeypatch.setattr(follower, "_sure_at", 0.0)
    assert follower.wait(0, NOTHING)
    assert follower.news() == {thread_of(store, OPPS).id}
    # And nothing is done again and again.
    monkeypatch.setattr(follower, "_sure_at", 0.0)
    assert not follower.wait(0, NOTHING)
    follower.close()


@pytest.mark.parametrize(("group", "most"), [(1, 8), (1, 1), (3, 8), (512, 8)])
def test_threads_that_changed_are_found_however_they_are_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch, group: int, most: int
) -> None:
    """Few groups of them with a change are asked about one by one; many, and the first time, all together."""
    monkeypatch.setattr(services, "GROUP", group)
    monkeypatch.setattr(services, "MOST_GROUPS", most)
    posts = [replace(OPPS, path=f"/2007/10/opps-{number}.html") for number in range(7)]
    publish(store, *posts)
    follower = Follower(store)
    assert follower.wait(0, NOTHING)
    monkeypatch.setattr(follower, "_something_happened", lambda *_: False)
    monkeypatch.setattr(follower, "_sure_at", 0.0)
    assert follower.wait(0, NOTHING)
    assert follower.news() is None
    for chosen in ([1], [0, 2, 6], [1, 6], []):
        for number in chosen:
            say(store, post=posts[number].path)
        monkeypatch.setattr(follower, "_sure_at", 0.0)
        assert follower.wait(0, NOTHING) is bool(chosen)
        assert follower.news() == {thread_of(store, posts[number]).id for number in chosen}
    follower.close()


def test_now_and_then_all_that_the_site_shows_is_compared(
    store: Store, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follower.news() is None
    monkeypatch.setattr(follower, "_whole_at", 0.0)
    assert follower.wait(0, NOTHING)
    say(store)
    assert follower.wait(LONG, NOTHING)
    # What is heard after it does not make it less.
    assert follower.news() is None
    follower.close()


def test_what_is_no_thread_is_no_news(store: Store, follower: Follower) -> None:
    with store.writing() as session:
        beat(session, "somebody", WorkerKind.MAILER, now=OPPS_DAY)
    assert not follower.wait(0.2, NOTHING)
    follower.close()


def test_the_other_thing_ends_the_wait(follower: Follower) -> None:
    happened = threading.Event()
    happened.set()
    started = time.monotonic()
    assert not follower.wait(LONG, happened)
    assert time.monotonic() - started < LONG / 2
    follower.close()


def test_an_ear_that_was_cut_off_hears_again(store: Store, follower: Follower) -> None:
    if store.dialect == "postgresql":
        with store.writing() as session:
            own = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN threads'")
            session.execute(own)
    else:
        follower.close()
    say(store)
    assert follower.wait(LONG, NOTHING)
    say(store, "And again: use Bcc.")
    assert follower.wait(LONG, NOTHING)
    follower.close()


def test_a_publisher_by_itself_brings_posts_and_comments_until_it_is_ended(sqlite_shop: Shop) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "feedback_app", "build", "--follow"],
        cwd=sqlite_shop.folder,
        env=sqlite_shop.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert "posts in" in process.stdout.readline()
        assert process.stdout.readline() == "Following the store and the content, until Ctrl-C.\n"
        store = open_store(load_settings({"UNDISCLOSED_INSTANCE": str(sqlite_shop.instance)}))
        comment = say(store, "Use Bcc, whoever you are.", address=None)
        store.close()
        page = sqlite_shop.output / "2007" / "10" / "opps.html"
        wait_for(lambda: f"comment-{comment.id}" in page.read_text(encoding="utf-8"), "the comment")
        with (sqlite_shop.folder / "content" / "posts" / "2007-10-10-opps.md").open("a", encoding="utf-8") as file:
            file.write("\n\nOne more word.\n")
        wait_for(lambda: "One more word." in page.read_text(encoding="utf-8"), "the post")
    finally:
        process.terminate()
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert said.endswith("Ended; the site stays as it is.\n")


def test_few_pieces_and_many_are_put_into_a_page_alike() -> None:
    paths = [f"/2007/10/{number} & ü.html" for number in range(FEW + 5)]
    page = "<main>".join(str(thread_piece(path, "old")) for path in paths).encode()
    few = {("thread", path): str(thread_piece(path, "new")) for path in paths[:3]}
    same = {("thread", path): str(thread_piece(path, "old")) for path in paths[3:]}
    assert len(few) <= FEW < len(few | same)
    assert rebaked(page, few) == rebaked(page, few | same)
    assert rebaked(page, few).count(b"new") == 3
    assert rebaked(page, {("count", paths[0]): "x"}) == page
