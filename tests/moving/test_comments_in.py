"""Comments that come from elsewhere: all that can come does, the rest is accounted for, and nothing doubles."""

import gzip
import sqlite3
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from feedback_app.audit_log import Act, newest_lines
from feedback_app.comments.markup.sanitizer import comment_html, visible_text
from feedback_app.comments.models import Comment, CommentStatus, Notice, Thread
from feedback_app.comments.services import change_status, list_comments
from feedback_app.comments.threads.public_comments import approved_comments
from feedback_app.comments.threads.registry import Post
from feedback_app.customers.models import Customer
from feedback_app.db.store import Store
from feedback_app.moving.export_comments import export_disqus
from feedback_app.moving.formats.records import BodyKind, LeftBehind, UnreadableExport
from feedback_app.moving.html_to_markdown import comment_text
from feedback_app.moving.import_comments import import_comments, paths_of
from feedback_app.moving.import_report import CommentsReport
from tests.support.clock import OPPS_DAY
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status

EXPORTS = Path(__file__).parent / "exports"
LINK = '<a href="https://example.com/bcc" rel="nofollow ugc noopener">this page</a>'
LATER = OPPS_DAY + timedelta(days=400)
ISSO = """
CREATE TABLE threads (id INTEGER PRIMARY KEY, uri VARCHAR(256) UNIQUE, title VARCHAR(256));
CREATE TABLE comments (tid REFERENCES threads(id), id INTEGER PRIMARY KEY, parent INTEGER, created FLOAT NOT NULL,
    modified FLOAT, mode INTEGER, remote_addr VARCHAR, text VARCHAR, author VARCHAR, email VARCHAR, website VARCHAR,
    likes INTEGER DEFAULT 0, dislikes INTEGER DEFAULT 0, voters BLOB NOT NULL, notification INTEGER DEFAULT 0);
INSERT INTO threads VALUES (1, '/2007/10/opps.html', 'Opps!');
INSERT INTO comments VALUES
    (1, 1, NULL, 1192024800.5, NULL, 1, '192.0.2.0', 'Use **Bcc**.', 'Nora', 'nora@example.com', 'https://n.example',
     3, 0, x'00', 0),
    (1, 2, 1, 1192028400.25, 1192028460.0, 1, '192.0.2.0', 'So it does.', 'Rob', NULL, NULL, 0, 0, x'00', 0),
    (1, 3, NULL, 1192028500.0, NULL, 2, '192.0.2.0', 'Is this read?', NULL, NULL, NULL, 0, 0, x'00', 0),
    (1, 4, NULL, 1192028600.0, NULL, 4, '192.0.2.0', '', NULL, NULL, NULL, 0, 0, x'00', 0);
"""


@pytest.fixture
def isso(tmp_path: Path) -> Path:
    """A database as Isso leaves it."""
    path = tmp_path / "comments.db"
    with sqlite3.connect(path) as database:
        database.executescript(ISSO)
    database.close()
    return path


def bring(store: Store, path: Path, *, dry: bool = False) -> CommentsReport:
    return import_comments(store, path, now=LATER, dry=dry)


def thread(store: Store, path: str = OPPS.path) -> list[tuple[str, str, str | None]]:
    """Who says what to whom, as the post's readers see it."""
    with store.reading() as session:
        shown = approved_comments(session, [path]).get(path, [])
    names = {comment.id: comment.author for comment in shown}
    return [(comment.author, comment.html, names.get(comment.parent_id or 0)) for comment in shown]


def counts(report: CommentsReport) -> tuple[int, int, int, int, int]:
    return report.shown, report.waiting, report.known, report.alone, report.left_out.total


def test_a_thread_comes_over_from_disqus_and_a_second_run_finds_it_there(store: Store) -> None:
    publish(store, OPPS)
    first = bring(store, EXPORTS / "disqus.xml")
    assert counts(first) == (3, 1, 0, 1, 3)
    assert thread(store) == [
        (
            "Nora",
            f"<p>Use <strong>Bcc</strong>, friends. See {LINK}.</p>\n<p>1. It hides * everybody *</p>",
            None,
        ),
        ("Rob", "<p>So it does.</p>", "Nora"),
        ("Ida", "<p>Why did you?</p>", None),
    ]
    assert dict(first.left_out.counts) == {
        "spam there": 1,
        "deleted there": 1,
        "no post here has the address of its post": 1,
    }
    again = bring(store, EXPORTS / "disqus.xml")
    assert counts(again) == (0, 0, 4, 0, 3)
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(Comment)) == 4
        [line] = newest_lines(session)
        assert (line.act, line.about) == (Act.IMPORTED, "4 comments from disqus")


def test_an_address_in_an_imported_comment_is_masked_and_waits_for_the_owner(store: Store) -> None:
    publish(store, OPPS)
    bring(store, EXPORTS / "disqus.xml")
    with store.reading() as session:
        [(waiting, _)] = list_comments(session, CommentStatus.PENDING)
    assert (waiting.text, waiting.reasons) == ("Write to me: …@…", ["there is an address in it"])
    assert "alert" not in waiting.html


def test_nothing_about_people_comes_along(store: Store, isso: Path) -> None:
    publish(store, OPPS)
    report = bring(store, isso)
    assert report.behind == {
        LeftBehind.ADDRESSES: 1,
        LeftBehind.NETWORKS: 4,
        LeftBehind.WEBSITES: 1,
        LeftBehind.VOTES: 1,
    }
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(Customer)) == 0
        assert session.scalar(select(func.count()).select_from(Notice)) == 0
        everything = repr([vars(comment) for comment, _ in list_comments(session)])
    assert "example" not in everything
    assert "192.0.2" not in everything


def test_a_thread_comes_over_from_isso(store: Store, isso: Path) -> None:
    publish(store, OPPS)
    assert counts(bring(store, isso)) == (2, 1, 0, 0, 1)
    assert thread(store) == [
        ("Nora", "<p>Use <strong>Bcc</strong>.</p>", None),
        ("Rob", "<p>So it does.</p>", "Nora"),
    ]
    with store.reading() as session:
        [(waiting, _)] = list_comments(session, CommentStatus.PENDING)
        rob = session.scalars(select(Comment).where(Comment.author == "Rob")).one()
    assert (waiting.author, waiting.reasons) == ("undisclosed", ["it waited where it came from"])
    assert rob.edited_at is not None
    assert counts(bring(store, isso)) == (0, 0, 3, 0, 1)


def test_a_thread_comes_over_from_wordpress(store: Store) -> None:
    publish(store, OPPS)
    report = bring(store, EXPORTS / "wordpress.xml")
    assert counts(report) == (2, 1, 0, 0, 2)
    assert thread(store) == [
        ("Nora", "<p>First line<br>\nsecond line</p>\n<p><strong>Third</strong> &amp; last</p>", None),
        ("The shop", "<p>Thank you.</p>", "Nora"),
    ]
    assert dict(report.left_out.counts) == {"a pingback, not a comment": 1, "spam there": 1}
    with store.reading() as session:
        owners = session.scalars(select(Comment.author).where(Comment.by_owner)).all()
    assert owners == ["The shop"]


@pytest.mark.parametrize("name", ["blogger-old.xml", "blogger-takeout.atom"])
def test_a_thread_comes_over_from_blogger_with_its_answers(sqlite_store: Store, name: str) -> None:
    publish(sqlite_store, OPPS)
    report = bring(sqlite_store, EXPORTS / name)
    assert counts(report)[:4] == (2, 0, 0, 0)
    assert thread(sqlite_store) == [
        ("Nora", "<p>Use <strong>Bcc</strong>.</p>", None),
        ("Rob", "<p>So it does.<br>\nThank you.</p>", "Nora"),
    ]


def test_both_of_bloggers_exports_name_the_same_comments(sqlite_store: Store) -> None:
    publish(sqlite_store, OPPS)
    assert bring(sqlite_store, EXPORTS / "blogger-old.xml").added == 2
    assert counts(bring(sqlite_store, EXPORTS / "blogger-takeout.atom"))[:3] == (0, 0, 2)


@pytest.mark.parametrize("packed", [False, True])
def test_a_thread_comes_over_from_remark42(sqlite_store: Store, tmp_path: Path, *, packed: bool) -> None:
    publish(sqlite_store, OPPS)
    path = EXPORTS / "remark42.jsonl"
    if packed:
        path = tmp_path / "backup.gz"
        path.write_bytes(gzip.compress((EXPORTS / "remark42.jsonl").read_bytes()))
    report = bring(sqlite_store, path)
    assert counts(report) == (2, 0, 0, 0, 3)
    assert thread(sqlite_store) == [
        ("Nora", "<p>Use <strong>Bcc</strong>.</p>", None),
        ("The shop", "<p>So it does.</p>", "Nora"),
    ]
    assert report.left_out.counts["a line that is no comment"] == 2


def test_a_dry_run_says_the_same_and_changes_nothing(store: Store) -> None:
    publish(store, OPPS)
    assert counts(bring(store, EXPORTS / "disqus.xml", dry=True)) == (3, 1, 0, 1, 3)
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(Comment)) == 0
        assert newest_lines(session) == []


def test_what_the_owner_took_down_here_does_not_come_back(store: Store) -> None:
    publish(store, OPPS)
    bring(store, EXPORTS / "disqus.xml")
    with store.writing() as session:
        number = session.scalars(select(Comment.id).where(Comment.author == "Ida")).one()
        change_status(session, [number], CommentStatus.DELETED, now=LATER)
    bring(store, EXPORTS / "disqus.xml")
    assert [author for author, _, _ in thread(store)] == ["Nora", "Rob"]


def test_whoever_follows_the_store_hears_of_what_came(store: Store) -> None:
    publish(store, OPPS, BISCUIT)
    bring(store, EXPORTS / "disqus.xml")
    with store.reading() as session:
        versions = dict(session.execute(select(Thread.path, Thread.version)).all())
    assert (versions[OPPS.path] > 0, versions[BISCUIT.path]) == (True, 0)


def test_an_export_of_ours_is_the_same_thread_in_another_shop(
    store: Store, sqlite_store: Store, tmp_path: Path
) -> None:
    publish(store, OPPS)
    publish(sqlite_store, OPPS)
    nora = say(store, "Use `Bcc`, *friends*:\n\n> twice\n\n- one\n- two")
    say(store, "So it does <b>not</b> & never did.", author="Rob", parent=nora)
    hidden = say(store, "Spam", author="Watches")
    set_status(store, CommentStatus.SPAM, hidden)
    say(store, "Waits", author="Max")
    path = tmp_path / "export.xml"
    with store.reading() as session, path.open("wb") as out:
        assert export_disqus(session, out, "https://mongrelsocks.example") == 4
    assert bring(sqlite_store, path).added == 3
    assert thread(sqlite_store) == thread(store)
    # Nor does it double where it came from, and back again neither.
    assert counts(bring(store, path))[:3] == (0, 0, 3)
    with sqlite_store.reading() as session, path.open("wb") as out:
        export_disqus(session, out, "https://mongrelsocks.example")
    assert counts(bring(store, path))[:3] == (0, 0, 3)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><disqus xmlns="http://disqus.com"><thread><link>&c;</link></thread>'
    "</disqus>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    '<disqus xmlns="http://disqus.com"><thread><link>&a;</link></thread></disqus>'
)
BAD = {
    "nothing": (b"", "no export of"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "no export of"),
    "a packed folder": (b"PK\x03\x04rest", "unpack it"),
    "a page": (b"<html><body>x</body></html>", "no export of Disqus, WordPress or Blogger"),
    "cut short": ((EXPORTS / "disqus.xml").read_bytes()[:2500], "cut short"),
    "a bomb": (BOMB.encode(), "document type"),
    "an outside entity": (OUTSIDE.encode(), "document type"),
    "our own JSON": (b'{"format": "undisclosed comments"}', "Disqus XML can be imported"),
    "half a gzip": (gzip.compress((EXPORTS / "remark42.jsonl").read_bytes() * 50)[:300], "not a whole gzip"),
    "half a database": (b"SQLite format 3\0" + b"\0" * 200, "not a whole database"),
    "too deep": (b'<disqus xmlns="http://disqus.com">' + b"<a>" * 5000, "not well-formed"),
    "not UTF-8": (
        b'<?xml version="1.0"?><disqus xmlns="http://disqus.com"><thread>\xff\xfe</thread></disqus>',
        "line 1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_line_that_names_it(sqlite_store: Store, tmp_path: Path, case: str) -> None:
    publish(sqlite_store, OPPS)
    content, says = BAD[case]
    path = tmp_path / "export.bin"
    path.write_bytes(content)
    with pytest.raises(UnreadableExport, match=says) as refused:
        bring(sqlite_store, path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert thread(sqlite_store) == []


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback_app.moving.detect_format.MOST_UNPACKED", 100_000)
    path = tmp_path / "backup.gz"
    path.write_bytes(gzip.compress(b'{"version":1}\n' + b" " * 1_000_000))
    with pytest.raises(UnreadableExport, match="unpacks to more than"):
        bring(sqlite_store, path)


def _many(path: Path, number: int) -> Path:
    link = f"https://mongrelsocks.example{OPPS.path}"
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '<disqus xmlns="http://disqus.com" xmlns:dsq="http://disqus.com/disqus-internals">'
            f'<thread dsq:id="1"><link>{link}</link></thread>'
        )
        for step in range(number):
            file.write(
                f'<post dsq:id="{step}"><message>{"Pairs are odd. " * 40}</message>'
                f"<createdAt>2007-10-10T14:{step // 60 % 60:02}:{step % 60:02}Z</createdAt>"
                f'<author><name>Reader {step}</name></author><thread dsq:id="1"/></post>\n'
            )
        file.write("</disqus>")
    return path


def test_memory_does_not_grow_with_the_file(
    sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sqlite_store, OPPS)
    # Its words are not what this is about, and take long while somebody counts bytes.
    monkeypatch.setattr("feedback_app.moving.import_comments.comment_text", lambda body, _: body)
    peaks = []
    monkeypatch.setattr("feedback_app.moving.import_comments.BATCH", 100)
    for number in (300, 1200):
        path = _many(tmp_path / f"{number}.xml", number)
        tracemalloc.start()
        bring(sqlite_store, path, dry=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5, peaks


def test_an_answer_stamped_before_what_it_answers_still_stands_below_it(sqlite_store: Store, tmp_path: Path) -> None:
    publish(sqlite_store, OPPS)
    path = tmp_path / "export.xml"
    text = (EXPORTS / "disqus.xml").read_text(encoding="utf-8")
    path.write_text(text.replace("2007-10-10T14:05:00Z", "2007-10-10T13:59:59Z"), encoding="utf-8")
    assert [bring(sqlite_store, path, dry=dry).alone for dry in (True, False)] == [1, 1]
    author, _, to = thread(sqlite_store)[0]
    assert (author, to) == ("Rob", "Nora")


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("https://shop.example/2007/10/opps.html?m=1#c1", "/2007/10/opps.html"),
        ("/2007/10/opps", "/2007/10/opps.html"),
        ("2007/10/opps/", "/2007/10/opps.html"),
        ("https://shop.example/2007/10/10/opps/index.html", "/2007/10/10/opps"),
        ("https://shop.example/2007/10/s%C3%B6ckchen.html", "/2007/10/söckchen.html"),
    ],
)
def test_a_post_is_found_by_where_the_other_system_had_it(place: str, path: str) -> None:
    assert path in list(paths_of(place))


def test_no_place_is_the_home_page(sqlite_store: Store, tmp_path: Path) -> None:
    publish(sqlite_store, Post("/", "Home", OPPS_DAY))
    assert list(paths_of("https://shop.example/")) == ["/"]
    assert list(paths_of("http://[")) == []
    assert tmp_path


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="<>&@`"), min_size=1, max_size=60)


@given(TEXTS)
@hypothesis_settings(max_examples=150, deadline=None)
def test_whatever_signs_are_in_a_text_they_are_read_as_they_were_written(text: str) -> None:
    shown = visible_text(comment_html(comment_text(f"<p>{text}</p>", BodyKind.HTML)))
    assert " ".join(shown.split()) == " ".join(text.split())


HOSTILE: list[tuple[Callable[[], str], str]] = [
    (lambda: "<div>" * 20_000 + "deep", "deep"),
    (lambda: "<blockquote>" * 3_000 + "deep", "deep"),
    (lambda: "<a href='javascript:alert(1)'>here</a>", "here"),
    (lambda: "<p>[x](javascript:alert(1)) ![y](https://e.example/y.png)</p>", ""),
]


@pytest.mark.parametrize("case", range(len(HOSTILE)))
def test_hostile_html_becomes_harmless_words(case: int) -> None:
    make, left = HOSTILE[case]
    html = comment_html(comment_text(make(), BodyKind.HTML))
    assert left in visible_text(html)
    assert "href" not in html
    assert "<img" not in html
