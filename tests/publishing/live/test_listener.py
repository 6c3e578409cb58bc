"""Threads that changed are noticed at once, whichever process changed them, and nothing else is."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from feedback_app.comments.models import CommentStatus
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import WorkerKind, beat
from feedback_app.publishing.live.listener import ThreadListener
from feedback_app.publishing.render.fragments import FEW, rebaked, thread_piece
from tests.support.clock import OPPS_DAY
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status, thread_of
from tests.support.shop import Shop, wait_for

LONG = 60.0


@pytest.fixture
def listener(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadListener]:
    """A listener that has noticed everything so far and, for an hour, does not look by itself."""
    monkeypatch.setattr("feedback_app.db.store_watch.CHECK_SECONDS", 3600.0)
    publish(store, OPPS, BISCUIT)
    listener = ThreadListener(store)
    while listener.wait(0.1):
        pass
    yield listener
    listener.close()


def test_an_approval_ends_the_wait_at_once(store: Store, listener: ThreadListener) -> None:
    comment = say(store)
    assert listener.wait(LONG)
    other = threading.Thread(target=set_status, args=(store, CommentStatus.REJECTED, comment))
    started = time.monotonic()
    other.start()
    assert listener.wait(LONG)
    other.join()
    assert time.monotonic() - started < LONG / 2


def test_the_changed_threads_are_named(store: Store, listener: ThreadListener) -> None:
    # At first, it can be any of them.
    assert listener.take_changed() is None
    say(store)
    assert listener.wait(LONG)
    say(store, post=BISCUIT.path)
    assert listener.wait(LONG)
    assert listener.take_changed() == {thread_of(store, post).id for post in (OPPS, BISCUIT)}
    assert listener.take_changed() == set()


def test_a_new_thread_is_a_change(store: Store, listener: ThreadListener) -> None:
    assert listener.take_changed() is None
    new = replace(OPPS, path="/2007/10/new.html")
    publish(store, OPPS, BISCUIT, new)
    say(store, post=new.path)
    assert listener.wait(LONG)
    assert listener.take_changed() == {thread_of(store, new).id}


def test_now_and_then_all_that_the_site_shows_is_compared(
    store: Store, listener: ThreadListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listener.take_changed() is None
    monkeypatch.setattr(listener, "_compare_all_at", 0.0)
    assert listener.wait(0)
    say(store)
    assert listener.wait(LONG)
    # A change that is noticed after that does not make it fewer.
    assert listener.take_changed() is None


def test_a_commit_that_changes_no_thread_is_no_news(store: Store, listener: ThreadListener) -> None:
    with store.writing() as session:
        beat(session, "worker", WorkerKind.MAILER, now=OPPS_DAY)
    assert not listener.wait(0.2)


def test_an_interruption_ends_the_wait(listener: ThreadListener) -> None:
    started = time.monotonic()
    listener.interrupt()
    assert not listener.wait(LONG)
    assert time.monotonic() - started < LONG / 2


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
