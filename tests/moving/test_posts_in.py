"""Posts that come from elsewhere: files of ours, at their addresses, and nothing that was there is touched."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from feedback_app.comments.models import FormerPath, Thread
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.moving.formats.records import UnreadableExport
from feedback_app.moving.import_comments import import_comments
from feedback_app.moving.import_posts import import_posts
from feedback_app.moving.import_report import PostsReport
from feedback_app.publishing.builder import build_site
from tests.support.clock import OPPS_DAY
from tests.support.shop import ROOT, Shop

EXPORTS = Path(__file__).parent / "exports"
LATER = OPPS_DAY + timedelta(days=400)
NEW_YORK = ZoneInfo("America/New_York")
WORDPRESS_POST = """\
Title: Opps & sorry: "we" mean it
Date: 2007-10-10 09:41
Slug: opps
Tags: Apology, privacy mail
Status: published
Summary: We are sorry.

We are *sorry*.

It's 5 \\* 3 &amp; &#91;&#91;not a name\\]\\]

## What now

- Bcc
- Care

![An envelope](https://mongrelsocks.example/wp-content/uploads/opps.png)
"""


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """The content folder of a shop without posts."""
    (tmp_path / "content" / "posts").mkdir(parents=True)
    return tmp_path / "content"


def bring(store: Store, content: Path, name: str, *, dry: bool = False) -> PostsReport:
    return import_posts(store, EXPORTS / name, content, zone=NEW_YORK, now=LATER, dry=dry)


def test_a_post_of_wordpress_becomes_a_file_of_ours(store: Store, content: Path) -> None:
    report = bring(store, content, "wordpress.xml")
    assert report.written == ["2007-10-10-opps.md", "2007-11-01-half-a-thought.md"]
    assert (content / "posts" / "2007-10-10-opps.md").read_text(encoding="utf-8") == WORDPRESS_POST
    assert (report.drafts, report.redirects, report.masked, report.pictures, report.embedded) == (1, 1, 1, 1, 1)
    assert report.left_out.counts == {"not a post: attachment": 1}
    draft = (content / "posts" / "2007-11-01-half-a-thought.md").read_text(encoding="utf-8")
    assert "Status: draft\n" in draft
    assert "Ask …@… first." in draft


@pytest.mark.parametrize("name", ["blogger-old.xml", "blogger-takeout.atom"])
def test_a_post_of_blogger_keeps_its_address(sqlite_store: Store, content: Path, name: str) -> None:
    report = bring(sqlite_store, content, name)
    assert (report.written, report.redirects) == (["2007-10-10-opps.md", "2007-11-10-not-yet.md"], 0)
    text = (content / "posts" / "2007-10-10-opps.md").read_text(encoding="utf-8")
    head = "Title: Opps!\nDate: 2007-10-10 09:41\nSlug: opps\nTags: apology\nStatus: published\n"
    assert text.startswith(head)
    assert text.endswith("\n\nWe are *sorry*.\n")


def test_nothing_that_is_there_is_written_over(sqlite_store: Store, content: Path) -> None:
    mine = content / "posts" / "2007-10-10-opps.md"
    mine.write_text("Mine.\n", encoding="utf-8")
    report = bring(sqlite_store, content, "blogger-takeout.atom")
    assert (report.written, report.known) == (["2007-11-10-not-yet.md"], 1)
    assert mine.read_text(encoding="utf-8") == "Mine.\n"
    assert (bring(sqlite_store, content, "blogger-takeout.atom").known, len(list(mine.parent.iterdir()))) == (2, 2)


def test_a_dry_run_writes_nothing(sqlite_store: Store, content: Path) -> None:
    report = bring(sqlite_store, content, "wordpress.xml", dry=True)
    assert (len(report.written), report.redirects) == (2, 1)
    assert list((content / "posts").iterdir()) == []
    with sqlite_store.reading() as session:
        assert session.scalars(select(Thread)).all() == []


def test_an_export_without_posts_is_refused_in_one_line(sqlite_store: Store, content: Path) -> None:
    with pytest.raises(UnreadableExport, match="no posts in an export of Disqus"):
        bring(sqlite_store, content, "disqus.xml")


@pytest.mark.parametrize(
    "place", ["https://x.example/../../etc/passwd", "https://x.example/a/.git/b", "https://x.example/?p=1"]
)
def test_no_old_address_leads_out_of_the_site(sqlite_store: Store, content: Path, tmp_path: Path, place: str) -> None:
    path = tmp_path / "export.xml"
    text = (EXPORTS / "wordpress.xml").read_text(encoding="utf-8")
    path.write_text(text.replace("https://mongrelsocks.example/2007/10/10/opps/", place), encoding="utf-8")
    report = import_posts(sqlite_store, path, content, zone=NEW_YORK, now=LATER)
    assert (len(report.written), report.redirects) == (2, 0)
    with sqlite_store.reading() as session:
        assert session.scalars(select(FormerPath)).all() == []


def test_a_whole_blog_moves_in_posts_comments_and_old_links(
    sqlite_shop: Shop, sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sqlite_shop.folder)
    for mine in (sqlite_shop.folder / "content" / "posts").iterdir():
        mine.unlink()
    settings = Settings.model_validate(
        {"instance": tmp_path / "one", "site_url": "http://127.0.0.1:8000", "output": sqlite_shop.output}
    )
    assert ROOT.is_dir()
    bring(sqlite_store, sqlite_shop.folder / "content", "wordpress.xml")
    # Before the first build, even: the redirect says already which post the comments belong to.
    assert import_comments(sqlite_store, EXPORTS / "wordpress.xml", now=LATER).shown == 2
    build_site(settings, sqlite_store, configuration=Path("pelicanconf.py"))
    page = (sqlite_shop.output / "2007" / "10" / "opps.html").read_text(encoding="utf-8")
    assert "<p>Thank you.</p>" in page
    assert "2 Comments" in page
    old = (sqlite_shop.output / "2007" / "10" / "10" / "opps" / "index.html").read_text(encoding="utf-8")
    assert "/2007/10/opps.html" in old
