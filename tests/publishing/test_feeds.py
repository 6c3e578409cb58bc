"""Every feed of a built blog: by the standard's own schema, and by an independent reader."""

from xml.etree import ElementTree as ET

import feedparser
import pytest

from feedback_app.comments.models import CommentStatus
from tests.support.atom import atom_problems
from tests.support.blog import Blog
from tests.support.clock import OPPS_DAY
from tests.support.comments import say, set_status

ATOM = "{http://www.w3.org/2005/Atom}"
THREADING = "{http://purl.org/syndication/thread/1.0}"


@pytest.fixture
def talking(blog: Blog) -> Blog:
    """A blog in whose readers' words are all the signs that XML has."""
    blog.write("söckchen", "Söckchen", date="2007-10-09 23:30")
    blog.build()
    say(blog.store, "Dünn.", author="Ida", post="/2007/10/söckchen.html")
    first = say(blog.store, "Use **Bcc** & <be> kind ]]> \u202etfel\u202c", author="Nora & <Co>")
    answer = say(blog.store, "So it does: https://example.com/?a=1&b=2", author='"Rob"', parent=first)
    say(blog.store, "Zoë's 🧦", author="Zoë", post="/2007/06/biscuit.html")
    waiting = say(blog.store, "Not to be seen", author="Max")
    set_status(blog.store, CommentStatus.REJECTED, waiting)
    set_status(blog.store, CommentStatus.APPROVED, first, answer, now=OPPS_DAY)
    blog.follow()
    return blog


def test_every_feed_is_what_the_standard_says_whoever_wrote_it(talking: Blog) -> None:
    names = sorted(path.relative_to(talking.output).as_posix() for path in talking.output.rglob("*.atom.xml"))
    assert {"feeds/posts.atom.xml", "feeds/comments.atom.xml", "2007/10/opps.comments.atom.xml"} <= set(names)
    assert any(name.startswith("label/") for name in names)
    followed = {name: (talking.output / name).read_bytes() for name in names}
    talking.build(full=True)
    for name in names:
        xml = (talking.output / name).read_bytes()
        assert atom_problems(xml) == [], name
        assert not feedparser.parse(xml).bozo, name
        assert followed[name] == xml, name


def test_a_comment_answers_an_entry_that_another_feed_has(talking: Blog) -> None:
    def ids(name: str) -> set[str]:
        return {entry.id for entry in feedparser.parse(talking.page(name)).entries}

    root = ET.fromstring(talking.page("feeds/comments.atom.xml"))  # noqa: S314 - ours
    answered = {str(element.get("ref")) for element in root.iter(f"{THREADING}in-reply-to")}
    assert len(answered) == 4
    assert answered <= ids("feeds/posts.atom.xml") | ids("feeds/comments.atom.xml")
    assert ids("2007/10/opps.comments.atom.xml") < ids("feeds/comments.atom.xml")


def test_the_schema_itself_refuses_what_the_standard_does(talking: Blog) -> None:
    xml = talking.page("feeds/comments.atom.xml")
    broken = {
        "no id": xml.replace("<id>tag:127.0.0.1,2007:comment-1</id>", ""),
        "no date": xml.replace("<updated>2007", "<updated>Wed, 2007"),
        "a stranger": xml.replace("<published>", "<publish>").replace("</published>", "</publish>"),
        "a relative link": xml.replace('href="http://127.0.0.1:8000/', 'href="/'),
        "twice": xml.replace("comment-2</id>", "comment-1</id>"),
    }
    assert atom_problems(xml.encode()) == []
    for what, one in broken.items():
        assert one != xml, what
        assert atom_problems(one.encode()), what
