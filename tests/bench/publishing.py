"""Publishing's figures: our builds beside stock Pelican, Hugo and Eleventy, on the same posts and comments, in one run.

`BENCH_POSTS` (10,000) posts with ten comments each; on disk and, where there is one, in a folder in memory.
`BENCH_PEERS=off` leaves the others out, `BENCH_ROUNDS` (3) is how often each whole build is made, `BENCH_PLACES` which
places there are, `BENCH_CURVE=off` leaves out the small blogs.
"""

import compileall
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from feedback_app.clock import now
from feedback_app.comments.markup.sanitizer import RULES, comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import new_worker_id
from feedback_app.publishing.daemon import run_publisher
from tests.bench import generators
from tests.bench.blog import write_comments, write_posts
from tests.support.memory import IN_MEMORY, in_memory
from tests.support.shop import ROOT, clean_environment

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
CHANGES = 7
PATIENCE = 240
# Another's watcher is given a change every so many seconds until it has seen one.
WAKING, TIMES_TO_WAKE = 15, 10
CURVE = (100, 1000)


@dataclass(slots=True)
class Figures:
    """What was measured in one place: seconds by name, each the median of some rounds."""

    place: str
    posts: int
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, times: list[float]) -> None:
        """Keep and print one."""
        self.seconds[name] = median(times)
        low, high = min(times), max(times)
        print(  # noqa: T201 - this is what it is for
            f"{self.place}, {self.posts:,} posts: {name}: {median(times):.3f} s "
            f"(median of {len(times)}, {low:.3f} to {high:.3f})",
            flush=True,
        )

    def ratio(self, one: str, other: str, aim: float) -> None:
        """Print what a figure is of another, and what it is meant to be at most."""
        if {one, other} <= self.seconds.keys():
            share = self.seconds[one] / self.seconds[other]
            print(f"{self.place}, {self.posts:,} posts: {one} / {other}: {share:.3f} (aim: {aim})", flush=True)  # noqa: T201


def main() -> None:
    """Measure in each place; the curve in the last of them."""
    # As every installation has it, whatever this one's environment says.
    compileall.compile_dir(ROOT / "feedback_app", quiet=1)
    posts = int(os.environ.get("BENCH_POSTS", "10000"))
    with_peers = os.environ.get("BENCH_PEERS", "on") == "on"
    places = {"disk": Path("/var/tmp")} | ({"memory": IN_MEMORY} if in_memory() else {})  # noqa: S108 - not memory
    chosen = os.environ.get("BENCH_PLACES", ",".join(places)).split(",")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as tools:
        hugo = generators.install_hugo(Path(tools) / "hugo") if with_peers else ""
        eleventy = generators.install_eleventy(Path(tools) / "eleventy") if with_peers else ""
        for place in chosen:
            with tempfile.TemporaryDirectory(dir=places[place]) as folder:
                _measure(Figures(place, posts), Path(folder), hugo, eleventy, with_peers=with_peers)
        for size in CURVE if os.environ.get("BENCH_CURVE", "on") == "on" else ():
            with tempfile.TemporaryDirectory(dir=places[chosen[-1]]) as folder:
                _measure(Figures(chosen[-1], size), Path(folder), "", "", with_peers=False)


def _measure(figures: Figures, folder: Path, hugo: str, eleventy: str, *, with_peers: bool) -> None:
    shop = _shop(folder / "shop", figures.posts)
    settings = load_settings({"UNDISCLOSED_INSTANCE": str(shop / "instance")})
    store = open_store(settings)
    write_comments(store, figures.posts)
    steps: dict[str, Callable[[], float]] = {"ours, cold and full": lambda: _cold(shop)}
    if with_peers:
        steps["stock Pelican"] = lambda: _stock(shop)
    if hugo:
        hugo_files = generators.write_hugo(shop, store, folder / "hugo")
        steps["Hugo, full"] = lambda: _fresh([hugo, "build", "--quiet"], folder / "hugo", "public")
    if eleventy:
        eleventy_files = generators.write_eleventy(shop, store, folder / "eleventy")
        steps["Eleventy, full"] = lambda: _fresh([eleventy, "--quiet"], folder / "eleventy", "output")
    # Turn by turn, so that a noisy minute is everybody's.
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            times[name].append(step())
    for name, values in times.items():
        figures.add(name, values)
    if with_peers:
        _stock(shop, "--cache")
        figures.add("stock Pelican, with its cache, one post", [_stock_again(shop) for _ in range(ROUNDS)])
    figures.add("ours, nothing to do", [_timed(_build(), shop) for _ in range(ROUNDS)])
    figures.add("ours, one post, cold start", [_one_post_cold(shop, round_) for round_ in range(ROUNDS)])
    _running(figures, shop, store)
    store.close()
    if hugo:
        command = [hugo, "build", "--watch", "--quiet=false"]
        with generators.watching(command, folder / "hugo", "Press Ctrl+C"):
            _watched(figures, "Hugo, one post, watching", hugo_files, folder / "hugo" / "public")
    if eleventy:
        with generators.watching([eleventy, "--watch"], folder / "eleventy", "Watching"):
            _watched(figures, "Eleventy, one post, watching", eleventy_files, folder / "eleventy" / "output")
    figures.ratio("ours, cold and full", "stock Pelican", 0.4)
    figures.ratio("ours, one post, cold start", "Hugo, full", 0.3)
    figures.ratio("ours, one post, running", "Hugo, full", 0.05)
    figures.ratio("ours, one post, running", "Hugo, one post, watching", 1)
    figures.ratio("ours, one post, running", "Eleventy, one post, watching", 1)


def _shop(folder: Path, posts: int) -> Path:
    folder.mkdir()
    shutil.copytree(ROOT / "theme", folder / "theme")
    shutil.copy(ROOT / "pelicanconf.py", folder)
    for name in ("pages", "images"):
        shutil.copytree(ROOT / "content" / name, folder / "content" / name)
    write_posts(folder / "content" / "posts", posts)
    return folder


def _build(*more: str) -> list[str]:
    return [str(Path(sys.executable).with_name("undisclosed")), "build", *more]


def _timed(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=clean_environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _fresh(command: list[str], folder: Path, output: str) -> float:
    shutil.rmtree(folder / output, ignore_errors=True)
    return _timed(command, folder)


def _cold(shop: Path) -> float:
    for path in (shop / "instance").glob("site.db*"):
        path.unlink()
    return _fresh(_build(), shop, "output")


def _stock(shop: Path, *more: str) -> float:
    environment = clean_environment() | {"PYTHONPATH": str(ROOT)}
    shutil.rmtree(shop / "stock-output", ignore_errors=True)
    command = [sys.executable, "-m", "tests.bench.stock", *more]
    started = time.perf_counter()
    subprocess.run(command, cwd=shop, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def _stock_again(shop: Path) -> float:
    _change(_posts_of(shop)[5], "changed for its cache")
    return _stock(shop, "--cache")


def _one_post_cold(shop: Path, round_: int) -> float:
    _change(_posts_of(shop)[7 + round_], f"cold{round_}")
    return _timed(_build(), shop)


def _running(figures: Figures, shop: Path, store: Store) -> None:
    """With the publisher running: a changed post, and an approved comment."""
    publisher = multiprocessing.get_context("spawn").Process(target=_publish, args=(shop,))
    publisher.start()
    try:
        files = _posts_of(shop)
        output = shop / "output"
        # It is up when it has brought the first change.
        _until(_page_of(files[-3], output), _change(files[-3], "warm"))
        middle = len(files) // 2
        times = [
            _until(_page_of(files[middle + step], output), _change(files[middle + step], f"running{step}"))
            for step in range(CHANGES)
        ]
        figures.add("ours, one post, running", times)
        times = [_until(_page_of(files[3 + step], output), _say(store, 3 + step)) for step in range(CHANGES)]
        figures.add("ours, one comment, running", times)
    finally:
        publisher.terminate()
        publisher.join(30)


def _publish(shop: Path) -> None:
    os.chdir(shop)
    settings = load_settings({"UNDISCLOSED_INSTANCE": "instance"})
    store = open_store(settings)
    run_publisher(settings, store, new_worker_id(), threading.Event())


def _say(store: Store, number: int) -> str:
    word = f"said{number}x{time.time_ns()}"
    with store.writing() as session:
        thread = session.get_one(Thread, number + 1)
        moment = now()
        session.add(
            Comment(
                thread_id=thread.id,
                author="Nora",
                text=word,
                html=comment_html(word),
                rules=RULES,
                status=CommentStatus.APPROVED,
                created_at=moment,
                changed_at=moment,
            )
        )
        thread.version += 1
    return word


def _watched(figures: Figures, name: str, files: list[Path], output: Path) -> None:
    middle = len(files) // 2
    try:
        _wake(files[-3], _page_of(files[-3], output))
        times = [
            _until(_page_of(files[middle + step], output), _change(files[middle + step], f"watched{step}"))
            for step in range(ROUNDS + 1)
        ]
    except TimeoutError as error:
        # Another's watcher that does not see a change is no reason to lose what was measured.
        print(f"{figures.place}, {figures.posts:,} posts: {name}: {error}", flush=True)  # noqa: T201
        return
    # The first may have waited for what woke it.
    figures.add(name, times[1:])


def _wake(file: Path, page: Path) -> None:
    """Change a post until its page shows it: a watcher that has just begun does not look at every file yet."""
    for _ in range(TIMES_TO_WAKE):
        with suppress(TimeoutError):
            _until(page, _change(file, "awake"), WAKING)
            return
    _until(page, "awake")


def _posts_of(shop: Path) -> list[Path]:
    return sorted((shop / "content" / "posts").glob("*.md"))


def _page_of(file: Path, output: Path) -> Path:
    (page,) = output.glob(f"2*/*/post-{int(file.stem)}.html")
    # Hugo makes a folder of a page.
    return page / "index.html" if page.is_dir() else page


def _change(file: Path, word: str) -> str:
    with file.open("a", encoding="utf-8") as post:
        post.write(f"\nOne word more: {word}.\n")
    return word


def _until(page: Path, word: str, patience: float = PATIENCE) -> float:
    """Seconds until a page has a word in it. Raises TimeoutError."""
    started = time.perf_counter()
    while time.perf_counter() - started < patience:
        try:
            if word in page.read_text(encoding="utf-8"):
                return time.perf_counter() - started
        except (FileNotFoundError, UnicodeDecodeError):
            pass
        time.sleep(0.002)
    message = f"{page} was not changed within {patience} s"
    raise TimeoutError(message)


if __name__ == "__main__":
    main()
