"""What happens around a build: a disk that is full, a folder that goes away and comes back."""

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_app.heartbeats import new_worker_id
from feedback_app.publishing.daemon import run_publisher
from tests.support.blog import Blog
from tests.support.databases import SQLITE
from tests.support.shop import Shop, wait_for

# As small as a disk that is nearly full: a file of more than that can't be written (blocks of 1024 bytes).
LITTLE = 'ulimit -f 24; exec "$@"'


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """Files are what matters here."""
    return str(request.param)


@pytest.fixture
def publisher(blog: Blog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A publisher at work on the blog; its content folder."""
    monkeypatch.chdir(blog.folder)
    stop = threading.Event()
    worker = threading.Thread(target=run_publisher, args=(blog.settings, blog.store, new_worker_id(), stop))
    worker.start()
    yield blog.settings.content
    stop.set()
    worker.join()


def test_a_full_disk_is_one_line_and_the_old_site_is_still_up(sqlite_shop: Shop) -> None:
    sqlite_shop.run("build")
    before = sqlite_shop.files()
    post = sqlite_shop.folder / "content" / "posts" / "2007-10-10-opps.md"
    with post.open("a", encoding="utf-8") as file:
        file.write("\n\n" + "A sock. " * 20_000)
    done = subprocess.run(
        ["bash", "-c", LITTLE, "-", sys.executable, "-m", "feedback_app", "build"],
        cwd=sqlite_shop.folder,
        env=sqlite_shop.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert sqlite_shop.files() == before
    sqlite_shop.run("build")
    assert "A sock. A sock." in sqlite_shop.files()["2007/10/opps.html"].decode()


def test_a_content_folder_that_vanishes_under_the_watcher_may_come_back(
    blog: Blog, publisher: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    page = blog.output / "2007" / "10" / "opps.html"
    wait_for(page.exists, "the first build")
    aside = publisher.with_name("aside")
    publisher.rename(aside)
    wait_for(lambda: "posts live there" in caplog.text, "the line that names the folder")
    assert page.exists()
    opps = aside / "posts" / "opps.md"
    opps.write_text(opps.read_text(encoding="utf-8").replace("Some words.", "We are back."), encoding="utf-8")
    shutil.move(aside, publisher)
    wait_for(lambda: "We are back." in page.read_text(encoding="utf-8"), "the site to follow again")
