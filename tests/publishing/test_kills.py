"""Builds that are killed, and builds at the same time: what is live works at every moment, and comes right."""

import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.publishing.builder import build_site
from feedback_app.publishing.live.update import catch_up
from feedback_app.publishing.pelican import post_index, runner
from tests.support.blog import Blog, make_blog, tree
from tests.support.comments import say
from tests.support.keys import KEYS

LINK = re.compile(r'(?:href|src)="(/[^"#?]*)')
TITLES = ["Opps!", "Sorry", "Warm feet", "Odd ones", "Biscuit"]
LABELS = ["socks", "shop", "privacy", "pie", "heels", "toes"]


def broken(output: Path) -> list[str]:
    """Pages that are not whole, and links and files of theirs that lead nowhere."""
    found = []
    for page in output.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if not text.rstrip().endswith("</html>"):
            found.append(f"{page.relative_to(output)} is a part of a page")
        for target in set(LINK.findall(text)):
            file = output / target.lstrip("/")
            file = file / "index.html" if target.endswith("/") else file
            if not target.startswith("/feedback/") and not file.is_file():
                found.append(f"{page.relative_to(output)} leads to {target}")
    return found


def edit(blog: Blog, dice: random.Random) -> None:
    """Somebody writes, relabels, redates, moves, takes away, or changes the theme."""
    posts = blog.settings.content / "posts"
    what = dice.choice(["write", "write", "move", "take away", "theme"])
    if what == "theme":
        style = blog.folder / "theme" / "static" / "css" / "site.css"
        style.write_text(style.read_text(encoding="utf-8") + f"\n.n{dice.random()} {{}}\n", encoding="utf-8")
    elif what == "take away" and (written := sorted(posts.glob("post-*.md"))):
        dice.choice(written).unlink()
    else:
        name = f"post-{dice.randrange(8)}"
        date = f"20{dice.randrange(7, 10):02}-{dice.randrange(1, 13):02}-10 09:41"
        labels = ", ".join(dice.sample(LABELS, 2))
        file = blog.write(name, dice.choice(TITLES), date=date, tags=labels)
        if what == "move":
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(f"Slug: {name}", f"Slug: {name}-{dice.randrange(3)}"), encoding="utf-8")


def in_a_child(blog: Blog, work: Callable[[Store], None]) -> int:
    """Start work on the blog in a process of its own."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setsid()
        store = open_store(blog.settings)
        work(store)
        store.close()
        status = 0
    finally:
        os._exit(status)


def kill(child: int, *, helpers: bool) -> None:
    """End a process without a word, with those that help it or without."""
    if helpers:
        # It may not have begun to lead a group.
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)


@pytest.fixture
def shop_blog(tmp_path: Path, sqlite_template: Path) -> Blog:
    """A blog with a store of its own that every process opens for itself."""
    folder = tmp_path / "blog"
    (folder / "instance").mkdir(parents=True)
    shutil.copy(sqlite_template, folder / "instance" / "store.db")
    names = {name: str(folder / name) for name in ("instance", "content", "output")}
    settings = load_settings({f"UNDISCLOSED_{name.upper()}": path for name, path in names.items()} | KEYS)
    blog = make_blog(folder, settings, open_store(settings))
    # The theme's footer leads there.
    (settings.content / "pages" / "privacy.md").write_text("Title: Privacy\nSlug: privacy\n\nOurs.\n", encoding="utf-8")
    return blog


@pytest.mark.slow
def test_a_build_that_is_killed_at_any_moment_leaves_a_site_that_works(
    shop_blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Helpers for every build, so that those are orphaned, too.
    monkeypatch.setattr(post_index, "MIN_PARALLEL_FILES", 4)
    monkeypatch.setattr(runner, "MIN_PARALLEL_FILES", 4)
    dice = random.Random(3206)  # noqa: S311 - the same kills each time, as far as a machine allows
    configuration = shop_blog.folder / "pelicanconf.py"

    def build(store: Store) -> None:
        build_site(shop_blog.settings, store, configuration=configuration)

    started = time.monotonic()
    shop_blog.build()
    took = time.monotonic() - started
    killed = 0
    for _ in range(40):
        for _ in range(dice.randint(1, 3)):
            edit(shop_blog, dice)
        if dice.random() < 0.5:
            say(shop_blog.store, post=dice.choice(["/2007/10/opps.html", "/2007/06/biscuit.html"]))
        child = in_a_child(shop_blog, build)
        time.sleep(dice.uniform(0, 2 * took))
        kill(child, helpers=dice.random() < 0.5)
        killed += os.waitpid(child, 0)[1] != 0
        assert broken(shop_blog.output) == []
    assert killed > 5
    shop_blog.build()
    assert broken(shop_blog.output) == []
    assert {
        name: data for name, data in tree(shop_blog.output).items() if not re.search(r"\.[0-9a-f]{10}\.", name)
    } == {name: data for name, data in shop_blog.built_elsewhere().items() if not re.search(r"\.[0-9a-f]{10}\.", name)}


@pytest.mark.slow
def test_two_builds_and_a_follower_at_once_do_not_fight(shop_blog: Blog) -> None:
    configuration = shop_blog.folder / "pelicanconf.py"
    dice = random.Random(2848)  # noqa: S311 - a made-up writer

    def build(store: Store) -> None:
        build_site(shop_blog.settings, store, configuration=configuration)

    def follow(store: Store) -> None:
        catch_up(shop_blog.settings, store)

    shop_blog.build()
    for _ in range(6):
        edit(shop_blog, dice)
        say(shop_blog.store)
        children = [in_a_child(shop_blog, work) for work in (build, follow, build)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        assert broken(shop_blog.output) == []
    shop_blog.follow()
    site, full = tree(shop_blog.output), shop_blog.built_elsewhere()
    assert {name for name in site if site[name] != full.get(name)} <= set(site) - set(full)
    assert set(full) <= set(site)
