"""What the theme promises: how little a post weighs; and that another theme can be put in its place."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pelican
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Page, expect

from tests.support.blog import Blog, tree
from tests.support.browser_checks import STICKING_OUT
from tests.support.comments import say
from tests.support.databases import SQLITE
from tests.support.shop import ROOT
from tests.support.vnu import find_checker

MOST_BYTES = 14_000
# A comment as people write them; twenty of these are more than the shop ever had below one post.
WORDS = "I have washed mine at forty degrees for years, and the left one still does not match the right one. Thank you!"
SIMPLE = Path(pelican.__file__).parent / "themes" / "simple"
# What a theme that was written for Pelican needs to show comments: the theme's contract in docs/publishing.md.
WITH_COMMENTS = """{% extends "!simple/article.html" %}
{% block content %}
{{ super() }}
{{ article.thread }}
<p><a href="{{ article.comment_form_url }}">Post a Comment</a> ({{ article.comment_count }})</p>
{% if article.older %}<p><a href="/{{ article.older.url }}">{{ article.older.title }}</a></p>{% endif %}
{% endblock %}
"""


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """What pages look like is no matter of the database."""
    return str(request.param)


def test_a_post_with_twenty_comments_and_its_style_weigh_fourteen_kilobytes_at_most(blog: Blog) -> None:
    shutil.copy(ROOT / "content" / "posts" / "2007-10-10-opps.md", blog.settings.content / "posts" / "opps.md")
    blog.build()
    for number in range(20):
        say(blog.store, f"{WORDS} ({number})", author=f"Reader {number}")
    blog.follow()
    page = blog.page("2007/10/opps.html")
    assert page.count('<li class="comment"') == 20
    (style,) = BeautifulSoup(page, "html5lib").select('link[rel="stylesheet"]')
    parts = [page.encode(), (blog.output / str(style["href"]).lstrip("/")).read_bytes()]
    assert sum(len(gzip.compress(part)) for part in parts) <= MOST_BYTES


def test_pelicans_own_theme_can_be_put_in_place_and_comments_are_followed(blog: Blog) -> None:
    templates = blog.folder / "templates"
    templates.mkdir()
    (templates / "article.html").write_text(WITH_COMMENTS, encoding="utf-8")
    with (blog.folder / "pelicanconf.py").open("a", encoding="utf-8") as file:
        file.write(f"\nTHEME = {str(SIMPLE)!r}\nTHEME_TEMPLATES_OVERRIDES = [{str(templates)!r}]\n")
        file.write('JINJA_ENVIRONMENT = {"autoescape": False}\n')
    blog.build()
    assert "<p>Some words.</p>" in blog.page("2007/10/opps.html")
    assert not (blog.output / "search.html").exists()
    comment = say(blog.store, "Well, *well*.")
    assert blog.follow() == 1
    assert f'id="comment-{comment.id}"' in blog.page("2007/10/opps.html")
    assert "1 Comment" in blog.page("2007/10/opps.html")
    blog.write("opps", "Opps, again!")
    blog.build()
    assert "Opps, again!" in blog.page("2007/11/pie.html")
    assert tree(blog.output) == blog.built_elsewhere()


@pytest.mark.slow
def test_every_page_is_valid_by_the_w3cs_own_checker(blog: Blog) -> None:
    checker = find_checker()
    # On a machine that decides there has to be one; elsewhere strict html5lib has looked at every kind of page.
    assert checker or not os.environ.get("CI"), "Java or npm's vnu-jar is missing: python -m tests.prepare"
    shutil.rmtree(blog.settings.content)
    shutil.copytree(ROOT / "content", blog.settings.content)
    blog.build()
    say(blog.store, "Use **Bcc**, friends.\n\n- one\n- two\n\n> said\n\n`code`")
    blog.follow()
    pages = sorted(map(str, blog.output.rglob("*.html")))
    command = [*checker, "--errors-only", *pages] if checker else [sys.executable, "-c", "pass"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")


LONG = "W" * 80
# Each of these is longer than a phone is wide, and has nothing in it where a line could end.
LONG_WORDS = (
    LONG,
    f"`{LONG}`",
    f"```\n{LONG * 2}\n```",
    f"    {LONG * 2}",
    f"https://example.net/{LONG.lower()}",
    f"[{LONG}](https://example.net/)",
    f"> {LONG}",
    f"- {LONG}\n    - **{LONG}**",
)


def test_a_long_name_and_long_words_stay_within_a_phones_width(blog: Blog, page: Page) -> None:
    shutil.copy(ROOT / "content" / "posts" / "2007-10-10-opps.md", blog.settings.content / "posts" / "opps.md")
    blog.build()
    parent = None
    for text in LONG_WORDS:
        parent = say(blog.store, text, author=LONG, parent=parent)
    blog.follow()
    page.route("**/*", lambda route: route.fulfill(path=blog.output / urlsplit(route.request.url).path.lstrip("/")))
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("http://127.0.0.1:8000/2007/10/opps.html")
    expect(page.locator(".author")).to_have_count(len(LONG_WORDS))
    # What sticks out of code is scrolled to within it.
    inside = STICKING_OUT.replace('"main *"', '".thread :not(pre code)"')
    assert page.evaluate(inside) == []
