"""A whole site changes places with the one that is there: at once, or file by file where that can't be."""

import errno
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from feedback_app.publishing.files import swap
from tests.support.blog import Blog, tree
from tests.support.clock import Clock
from tests.support.databases import SQLITE


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """Files are what matters here."""
    return str(request.param)


def sites(folder: Path) -> tuple[Path, Path]:
    """A new site on the stage, and an old one that is live, with a search index."""
    stage, output = folder / "stage", folder / "output"
    for place, files in (
        (stage, {"a.html": "new", "same.html": "same"}),
        (output, {"a.html": "old", "gone.html": "x"}),
    ):
        place.mkdir()
        for name, text in files.items():
            (place / name).write_text(text, encoding="utf-8")
    (output / "same.html").write_text("same", encoding="utf-8")
    os.utime(output / "same.html", (1_000_000, 1_000_000))
    (output / "pagefind").mkdir()
    (output / "pagefind" / "index").write_text("an index", encoding="utf-8")
    return stage, output


def refuse(*_: object) -> None:
    raise OSError(errno.EXDEV, "another file system")


@pytest.mark.parametrize("can", [True, False])
def test_the_new_site_is_there_the_old_one_is_not_and_the_index_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, can: bool
) -> None:
    if not can:
        monkeypatch.setattr(swap, "_exchange", refuse)
    stage, output = sites(tmp_path)
    whole = output.stat().st_ino
    written = swap.swap(stage, output, ["pagefind"], set())
    assert tree(output) == {"a.html": b"new", "same.html": b"same", "pagefind/index": b"an index"}
    assert (written.written, written.removed, written.unchanged) == (1, 1, 1)
    # One step: the folder itself is another.
    assert (output.stat().st_ino != whole) is can
    # What did not change is not new to anybody's cache.
    assert (output / "same.html").stat().st_mtime == 1_000_000


def test_a_disk_that_fails_in_between_is_told_and_the_old_site_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(swap, "_exchange", fail)
    stage, output = sites(tmp_path)
    before = tree(output)
    with pytest.raises(OSError, match="no space left"):
        swap.swap(stage, output, ["pagefind"], set())
    assert tree(output) == before


def test_a_full_build_is_live_in_one_step(blog: Blog, monkeypatch: pytest.MonkeyPatch) -> None:
    blog.build()
    blog.write("opps", "Opps, again!")
    seen: list[dict[str, bytes]] = []

    def look(real: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def exchange(one: Path, other: Path) -> None:
            seen.append(tree(blog.output))
            real(one, other)
            seen.append(tree(blog.output))

        return exchange

    before = tree(blog.output)
    monkeypatch.setattr(swap, "_exchange", look(swap._exchange))  # noqa: SLF001 - the step itself
    blog.build(full=True)
    assert seen == [before, tree(blog.output)]
    assert "Opps, again!" in blog.page("index.html")


def test_an_old_style_lives_on_for_a_week_under_its_own_name(blog: Blog, clock: Clock) -> None:
    blog.build()
    (old,) = [name for name in tree(blog.output) if name.startswith("theme/css/site.") and name.count(".") == 2]
    assert f"/{old}" in blog.page("2007/10/opps.html")
    style = blog.folder / "theme" / "static" / "css" / "site.css"
    style.write_text(style.read_text(encoding="utf-8") + "\nh1 { color: inherit; }\n", encoding="utf-8")
    blog.build()
    assert f"/{old}" not in blog.page("2007/10/opps.html")
    assert (blog.output / old).exists()
    site = tree(blog.output)
    blog.build(full=True)
    assert tree(blog.output) == site
    clock.moment += timedelta(days=8)
    blog.build()
    assert not (blog.output / old).exists()
