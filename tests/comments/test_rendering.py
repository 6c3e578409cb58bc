"""Threads and feeds, as they are drawn."""

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import feedparser
import pytest
from bs4 import BeautifulSoup, Tag

from feedback_app.comments.markup.sanitizer import comment_html
from feedback_app.comments.models import CommentStatus, ShownComment
from feedback_app.comments.threads.public_comments import approved_comments
from feedback_app.comments.threads.renderer import Entry, site_feed, thread_feed, thread_html
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.comments import OPPS, publish, say, set_status
from tests.support.threads import PLACE

ATOM = "{http://www.w3.org/2005/Atom}"
THREADING = "{http://purl.org/syndication/thread/1.0}"
TAG_URI = re.compile(r"tag:socks\.example,2007:[!-~]+")


def a_comment(number: int, parent: int | None = None, *, author: str = "Nora", text: str = "Bcc!") -> ShownComment:
    """An approved comment, as the store would give it; each a minute after the one before."""
    moment = OPPS_DAY + timedelta(minutes=number)
    return ShownComment(
        id=number,
        parent_id=parent,
        author=author,
        html=comment_html(text),
        by_owner=False,
        created_at=moment,
        changed_at=moment,
        edited_at=None,
        edited_by_owner=False,
    )


def drawn(*comments: ShownComment, path: str = OPPS.path) -> BeautifulSoup:
    """A thread, to look around in."""
    return BeautifulSoup(thread_html(path, comments, PLACE), "html5lib")


def shape(soup: BeautifulSoup | Tag) -> list[object]:
    """The numbers of the comments as they are nested: [1, [2, [3]], 4]."""
    found: list[object] = []
    for item in soup.find("ol", class_="comments").find_all("li", recursive=False):  # type: ignore[union-attr]
        found.append(int(str(item["id"]).removeprefix("comment-")))
        if item.find("ol", class_="comments"):
            found.append(shape(item))
    return found


def feed_of(*comments: ShownComment, path: str = OPPS.path, title: str = OPPS.title) -> str:
    """The feed of one post's comments."""
    return thread_feed(path, title, OPPS.published_at, comments, PLACE)


@pytest.mark.parametrize(("count", "words"), [(0, "0 Comments"), (1, "1 Comment"), (2, "2 Comments")])
def test_a_thread_says_how_many_comments_it_has(count: int, words: str) -> None:
    heading = drawn(*(a_comment(number + 1) for number in range(count))).h2
    assert heading is not None
    assert heading.get_text() == words


def test_answers_stand_below_what_they_answer_down_to_the_fourth_level_and_then_side_by_side() -> None:
    soup = drawn(*(a_comment(number, number - 1 or None) for number in range(1, 8)))
    assert shape(soup) == [1, [2, [3, [4, 5, 6, 7]]]]


def test_answers_to_the_same_comment_stand_in_the_order_they_came() -> None:
    assert shape(drawn(a_comment(1), a_comment(2), a_comment(3, 1), a_comment(4, 2), a_comment(5, 1))) == [
        1,
        [3, 5],
        2,
        [4],
    ]


def test_an_answer_to_a_comment_that_is_gone_stands_on_its_own() -> None:
    assert shape(drawn(a_comment(1), a_comment(3, 2), a_comment(4, 3))) == [1, 3, [4]]


def test_an_answer_that_is_older_than_its_question_is_not_lost() -> None:
    assert shape(drawn(a_comment(1, 2), a_comment(2))) == [1, 2]


def test_each_comment_has_an_address_of_its_own_and_a_link_to_answer_it() -> None:
    soup = drawn(a_comment(7), path="/2007/10/a & b.html")
    item = soup.find(id="comment-7")
    assert isinstance(item, Tag)
    permalink, reply = item.find("a", class_="permalink"), item.find("a", class_="reply")
    assert isinstance(permalink, Tag)
    assert isinstance(reply, Tag)
    assert permalink["href"] == "#comment-7"
    assert permalink.get_text() == "October 10, 2007, 9:48 AM"
    assert reply["href"] == "/feedback/comments/new?post=/2007/10/a%20%26%20b.html&parent=7"
    assert reply.get_text() == "Reply to Nora"


@pytest.mark.parametrize("shown", [0, 1])
def test_whoever_wants_their_comment_back_finds_the_way_also_while_it_waits_alone(shown: int) -> None:
    link = drawn(*(a_comment(number) for number in range(shown))).select_one(".own-comments a")
    assert link
    assert link["href"] == "/feedback/comments/mine"


def test_a_name_is_never_markup() -> None:
    evil = "<b onmouseover=\"alert('x')\">Mallory</b> & {{ 7*7 }}"
    soup = drawn(a_comment(1, author=evil))
    author = soup.find(class_="author")
    assert isinstance(author, Tag)
    assert author.get_text() == evil
    assert soup.find("b") is None


def test_no_address_stands_in_a_thread_or_a_feed(store: Store) -> None:
    publish(store, OPPS)
    comment = say(
        store, "Write to bob@example.org or bob&#64;example.org", author="bob@example.org", address="n@e.example"
    )
    set_status(store, CommentStatus.APPROVED, comment)
    with store.reading() as session:
        comments = approved_comments(session)[OPPS.path]
    assert len(comments) == 1
    for printed in (thread_html(OPPS.path, comments, PLACE), feed_of(*comments)):
        assert not re.search(r"\w@\w", printed)
        assert "example.org" not in printed
        assert "e.example" not in printed


def test_a_feed_is_read_by_feed_readers() -> None:
    read = feedparser.parse(feed_of(a_comment(1, text="Use **Bcc** & <be> kind"), a_comment(2, 1, author="Bob & <Co>")))
    assert not read.bozo
    assert read.feed.title == "Comments on Opps!"
    assert [entry.author for entry in read.entries] == ["Bob & <Co>", "Nora"]
    assert read.entries[1].content[0].value == "<p>Use <strong>Bcc</strong> &amp; &lt;be&gt; kind</p>"
    assert read.entries[0].link == "https://socks.example/2007/10/opps.html#comment-2"


def test_a_feeds_ids_are_tag_uris_that_never_change() -> None:
    root = ET.fromstring(feed_of(a_comment(1), a_comment(2), path="/2007/10/sorry & déjà.html"))  # noqa: S314 - ours
    ids = [element.text or "" for element in root.iter(f"{ATOM}id")]
    assert len(set(ids)) == 3
    for one in ids:
        assert TAG_URI.fullmatch(one), one
    assert ids[:2] == [
        "tag:socks.example,2007:/2007/10/sorry%20%26%20d%C3%A9j%C3%A0.comments.atom.xml",
        "tag:socks.example,2007:comment-2",
    ]


def test_a_comment_keeps_its_id_when_its_post_moves() -> None:
    before, after = (feedparser.parse(feed_of(a_comment(7), path=path)) for path in (OPPS.path, "/2008/01/moved.html"))
    assert before.entries[0].id == after.entries[0].id
    assert before.entries[0].link != after.entries[0].link


def test_a_feed_says_what_is_an_answer_to_what() -> None:
    root = ET.fromstring(feed_of(a_comment(1), a_comment(2, 1)))  # noqa: S314 - ours
    answer, question = (entry.find(f"{THREADING}in-reply-to") for entry in root.iter(f"{ATOM}entry"))
    assert answer is not None
    assert question is not None
    assert answer.get("ref") == "tag:socks.example,2007:comment-1"
    assert question.get("ref") == "tag:socks.example,2007-10-10:/2007/10/opps.html"


def test_a_feed_is_as_new_as_its_newest_change_or_its_post() -> None:
    def updated(xml: str) -> str | None:
        return ET.fromstring(xml).findtext(f"{ATOM}updated")  # noqa: S314 - ours

    assert updated(feed_of()) == "2007-10-10T13:41:00Z"
    changed = a_comment(1)._replace(changed_at=datetime(2007, 11, 1, 12, tzinfo=UTC))
    assert updated(feed_of(changed, a_comment(2))) == "2007-11-01T12:00:00Z"


def test_the_blogs_feed_names_the_post_of_each_comment() -> None:
    xml = site_feed([Entry(a_comment(1), OPPS.path, 'Opps! & "more"', OPPS.published_at)], OPPS.published_at, PLACE)
    read = feedparser.parse(xml)
    assert not read.bozo
    assert [entry.title for entry in read.entries] == ['Nora on Opps! & "more"']
    assert read.feed.links[0].href == "https://socks.example/feeds/comments.atom.xml"
    assert read.feed.id == "tag:socks.example,2007:/feeds/comments.atom.xml"
