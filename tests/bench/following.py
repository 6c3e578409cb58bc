"""How long after its commit an approved comment stands in the static page, on a large blog, on both databases.

A publisher runs as `serve` runs it, in a process of its own. Afterwards the whole site is compared, byte for byte, with
what a full build makes of the same store.
"""

import filecmp
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert, select

from feedback_app import clock
from feedback_app.comments.markup.sanitizer import RULES, comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.services import change_status
from feedback_app.config import Settings, load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import end_with_parent
from feedback_app.publishing.builder import build_site
from feedback_app.publishing.daemon import run_publisher
from tests.bench.blog import write_comments, write_posts
from tests.support.postgres import running_postgres
from tests.support.shop import ROOT

POSTS = int(os.environ.get("BENCH_POSTS", "10000"))
APPROVALS = int(os.environ.get("BENCH_APPROVALS", "40"))
PATIENCE = 30.0
STARTING = 10.0


def main() -> None:
    """Measure on each database."""
    with tempfile.TemporaryDirectory() as name, running_postgres() as server:
        for backend in os.environ.get("BENCH_STORES", "SQLite,PostgreSQL").split(","):
            folder = Path(name) / backend
            folder.mkdir()
            url = {} if backend == "SQLite" else {"UNDISCLOSED_STORE_URL": server.create("bench_following")}
            _measure(backend, folder, url)


def _measure(backend: str, folder: Path, url: dict[str, str]) -> None:
    os.chdir(folder)
    shutil.copy(ROOT / "pelicanconf.py", folder)
    shutil.copytree(ROOT / "theme", folder / "theme")
    for part in ("pages", "images"):
        shutil.copytree(ROOT / "content" / part, folder / "content" / part)
    write_posts(folder / "content" / "posts", POSTS)
    settings = load_settings({"UNDISCLOSED_SITE_URL": "http://127.0.0.1:8000"} | url)
    store = open_store(settings)
    write_comments(store, POSTS)
    started = time.perf_counter()
    report = build_site(settings, store)
    _say(f"{backend}: {report.posts:,} posts, {POSTS * 10:,} comments, built in {time.perf_counter() - started:.0f} s")
    waiting = _wait_for_the_owner(store)
    process = multiprocessing.get_context("spawn").Process(target=_publish, args=(settings,))
    process.start()
    try:
        # A publisher that is only starting looks at everything, and a second later at every file: until it waits,
        # there is nothing to measure.
        _approve(settings, store, *waiting.pop())
        time.sleep(STARTING)
        for _ in range(3):
            _approve(settings, store, *waiting.pop())
        times = [_approve(settings, store, *one) for one in waiting]
    finally:
        process.terminate()
        process.join(30)
    pages, all_ = (sorted(each) for each in zip(*times, strict=True))
    for what, found in (("in its post's page", pages), ("in every page, count and feed", all_)):
        half, nine, most = (found[int(len(found) * share)] * 1000 for share in (0.5, 0.9, 0.999))
        _say(f"{backend}: approved: {what} after {half:.0f} ms (9 of 10 after {nine:.0f}, all after {most:.0f})")
    _say(f"{backend}: files that differ from a full build's: {len(_differences(settings, store))}")
    store.close()


def _publish(settings: Settings) -> None:
    end_with_parent()
    run_publisher(settings, open_store(settings), "bench", threading.Event())


def _wait_for_the_owner(store: Store) -> list[tuple[int, str]]:
    """Comments that wait, below posts from all over the blog; those of home are among them."""
    moment = clock.now()
    with store.writing() as session:
        threads = session.execute(select(Thread.id, Thread.path).order_by(Thread.id)).all()
        chosen = [threads[-1 - step * (len(threads) // (APPROVALS + 20))] for step in range(APPROVALS + 20)]
        text = "Odd pairs are pairs."
        for step, (thread, _) in enumerate(chosen):
            values = {"thread_id": thread, "author": f"Waiting {step}", "text": text, "html": comment_html(text)}
            values |= {"rules": RULES, "status": CommentStatus.PENDING, "reasons": []}
            values |= {"created_at": moment + timedelta(seconds=step), "changed_at": moment}
            session.execute(insert(Comment).values(values))
        numbers = session.scalars(
            select(Comment.id).where(Comment.status == CommentStatus.PENDING).order_by(Comment.id)
        )
        return list(zip(numbers, [path for _, path in chosen], strict=True))


def _approve(settings: Settings, store: Store, number: int, path: str) -> tuple[float, float]:
    """Seconds from the commit until the post's page has it, and until the last file, the blog's feed, has."""
    page, feed = settings.output / path.lstrip("/"), settings.output / "feeds" / "comments.atom.xml"
    mark = f'id="comment-{number}"'.encode()
    with store.writing() as session:
        change_status(session, [number], CommentStatus.APPROVED, now=clock.now())
    committed = time.perf_counter()
    deadline = committed + PATIENCE
    while mark not in page.read_bytes():
        assert time.perf_counter() < deadline, path
        time.sleep(0.0005)
    seen = time.perf_counter()
    while f"comment-{number}<".encode() not in feed.read_bytes():
        assert time.perf_counter() < deadline, path
        time.sleep(0.0005)
    done = time.perf_counter()
    # The publisher goes back to waiting before the next one is approved.
    time.sleep(0.2)
    return seen - committed, done - committed


def _differences(settings: Settings, store: Store) -> list[str]:
    whole = settings.model_copy(update={"output": Path("whole"), "instance": Path("whole-instance")})
    build_site(whole, store, full=True)
    names = {
        str(file.relative_to(folder))
        for folder in (settings.output, Path("whole"))
        for file in folder.rglob("*")
        if file.is_file() and "pagefind" not in file.parts
    }
    _, differ, missing = filecmp.cmpfiles(settings.output, "whole", sorted(names), shallow=False)
    return [*differ, *missing]


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is what it is for
