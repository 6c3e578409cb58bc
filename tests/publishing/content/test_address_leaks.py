"""The leak guard: no address is published by mistake, and never a customer's."""

import pytest

from feedback_app.customers.models import Frequency
from feedback_app.publishing.builder import BuildRefused
from tests.support.blog import Blog, tree
from tests.support.clock import OPPS_DAY
from tests.support.databases import SQLITE
from tests.support.people import ALICE, welcome
from tests.support.photographs import photograph

SOMEBODY = "somebody@elsewhere.example"
HIDDEN = {
    "plain": f"Write to {SOMEBODY}, please.",
    "as a link": f"[write](mailto:{SOMEBODY})",
    "in entities": "Write to somebody&#64;elsewhere.example, please.",
    "percent-encoded": "[write](https://x.example/?to=somebody%40elsewhere.example)",
    "in pieces": "Write to somebody<b>@</b>elsewhere.example, please.",
    "in a comment": f"Words. <!-- {SOMEBODY} -->",
    "in an example": f"    {SOMEBODY}",
}


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """One database is enough here."""
    return str(request.param)


def refused(blog: Blog) -> str:
    """Build, be refused, and see that what was live stays live; returns what was said."""
    before = tree(blog.output)
    with pytest.raises(BuildRefused) as error:
        blog.build()
    assert tree(blog.output) == before
    said = str(error.value)
    assert "elsewhere.example" not in said
    assert ALICE.address not in said
    return said


@pytest.mark.parametrize("how", HIDDEN)
def test_an_address_in_a_post_is_refused_by_file_and_line(blog: Blog, how: str) -> None:
    blog.build()
    post = blog.write("leak", text=f"Words.\n\n{HIDDEN[how]}")
    assert f"{post.name}:10: " in refused(blog)


def test_an_address_in_a_title_a_page_or_a_drawing_is_refused(blog: Blog) -> None:
    blog.build()
    blog.write("leak", title=f"Ask {SOMEBODY}")
    assert "leak.md:1: " in refused(blog)
    blog.write("leak")
    page = blog.settings.content / "pages" / "about.md"
    page.write_text(f"Title: About\nSlug: about\n\n{SOMEBODY}\n", encoding="utf-8")
    assert "about.md:4: " in refused(blog)
    page.write_text("Title: About\nSlug: about\n\nUs.\n", encoding="utf-8")
    (blog.settings.content / "images" / "x.svg").write_text(f"<svg><desc>{SOMEBODY}</desc></svg>", encoding="utf-8")
    assert "x.svg:1: " in refused(blog)


def test_an_address_that_the_head_allows_and_the_shops_own_may_be_shown(blog: Blog) -> None:
    post = blog.write("contact", text=f"Write to {SOMEBODY} or to hello@mongrelsocks.example.")
    allowing = post.read_text(encoding="utf-8").replace("Status:", f"Allow-Address: {SOMEBODY}\nStatus:")
    post.write_text(allowing, encoding="utf-8")
    blog.build()
    assert SOMEBODY in blog.page("2007/10/contact.html")
    post.write_text(allowing.replace("Write to", "Write to another@elsewhere.example or to"), encoding="utf-8")
    assert "contact.md:9: " in refused(blog)


def test_a_customers_address_is_refused_even_where_the_head_allows_it(blog: Blog) -> None:
    blog.build()
    welcome(blog.store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    post = blog.write("leak", text=f"Write to {ALICE.address.upper()}.")
    text = post.read_text(encoding="utf-8").replace("Status:", f"Allow-Address: {ALICE.address.upper()}\nStatus:")
    post.write_text(text, encoding="utf-8")
    said = refused(blog)
    assert "leak.md:5: " in said
    assert "customer's" in said
    assert ALICE.address.upper() not in said


@pytest.mark.parametrize("name", ["camera.jpg", "camera.png", "camera.webp"])
def test_an_address_in_a_pictures_metadata_is_refused(blog: Blog, name: str) -> None:
    blog.build()
    picture = blog.settings.content / "posts" / name
    photograph(picture, f"by {SOMEBODY}")
    blog.write("heel", text=f"![A heel]({name})")
    assert name in refused(blog)
    blog.write("heel")
    picture.rename(blog.settings.content / "images" / name)
    assert name in refused(blog)
