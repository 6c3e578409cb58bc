"""A build: everything is where the contract says, nothing is written twice, nothing broken goes live."""

import gzip
import re
import shutil
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import feedparser
import pytest
from bs4 import BeautifulSoup

from feedback_app.comments.threads.registry import find_thread
from feedback_app.publishing.builder import BuildRefused
from feedback_app.publishing.render.post_html import absolute, listed
from tests.support.blog import Blog, tree
from tests.support.comments import say
from tests.support.databases import SQLITE

CONTRACT = (
    "index.html",
    "2007/10/opps.html",
    "2007/10/opps.comments.atom.xml",
    "2007/10/index.html",
    "label/shop.html",
    "label/shop.atom.xml",
    "feeds/posts.atom.xml",
    "feeds/comments.atom.xml",
    "archives.html",
    "about.html",
    "theme/css/site.css",
    "images/logo.svg",
)
HEAD = "Title: Bad\nDate: 2007-10-01\n"
BROKEN = {
    "has no title": b"Date: 2007-10-01\nSlug: bad\n\nWords.",
    "has no date": b"Title: Bad\nSlug: bad\n\nWords.",
    "has a date that is none": b"Title: Bad\nDate: someday\nSlug: bad\n\nWords.",
    "has a date beyond the year's end": b"Title: Bad\nDate: 2007-13-45\nSlug: bad\n\nWords.",
    "has a status that is none": f"{HEAD}Status: publshed\n\nWords.".encode(),
    "is not UTF-8": f"{HEAD}\n\ncaf\u00e9".encode("latin-1"),
    "is empty": b"",
    "has a slug that climbs out": f"{HEAD}Slug: ../../../bad\n\nWords.".encode(),
    "has a slug that climbs": f"{HEAD}Slug: ../bad\n\nWords.".encode(),
    "has a slug that hides": f"{HEAD}Slug: .bad\n\nWords.".encode(),
    "has a slug with a question mark": f"{HEAD}Slug: bad?\n\nWords.".encode(),
    "says where to write": f"{HEAD}save_as: ../../bad.html\n\nWords.".encode(),
    "has another's address": f"{HEAD}Slug: opps\n\nWords.".encode(),
}  # fmt: skip
FOOTNOTES = "Words[^1].\n\n## Why\n\n### In detail\n\nMore: `## not one`.\n\n[^1]: A note.\n"


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """One database is enough here: what a build reads from it is tried on both elsewhere."""
    return str(request.param)


def test_everything_is_where_the_contract_says(blog: Blog) -> None:
    blog.build()
    for name in CONTRACT:
        assert (blog.output / name).is_file(), name


def test_a_second_build_writes_nothing(blog: Blog) -> None:
    first, second = blog.build(), blog.build()
    assert first.files.written == second.files.unchanged > 20
    assert (second.files.written, second.files.removed) == (0, 0)


def test_a_full_build_of_the_same_writes_nothing_either(blog: Blog) -> None:
    blog.build()
    report = blog.build(full=True)
    assert (report.files.written, report.files.removed) == (0, 0)
    assert tree(blog.output) == blog.built_elsewhere()


@pytest.mark.parametrize("what", BROKEN)
def test_the_build_is_refused_in_one_line_while_a_post(blog: Blog, what: str) -> None:
    blog.build()
    before = tree(blog.output)
    broken = blog.settings.content / "posts" / "bad.md"
    broken.write_bytes(BROKEN[what])
    # Twice: what was said once is as wrong the second time.
    for _ in range(2):
        with pytest.raises(BuildRefused) as refused:
            blog.build()
        assert len(str(refused.value).splitlines()) == 1
        assert "posts/bad.md" in str(refused.value)
        assert "slug" not in what or "posts/bad.md:3: the slug " in str(refused.value)
    assert tree(blog.output) == before
    assert not list(blog.folder.parent.rglob("bad.html"))
    broken.unlink()
    assert blog.build().files.written == 0


def test_a_post_that_breaks_keeps_its_page_and_its_thread_until_it_is_mended(blog: Blog) -> None:
    opps = blog.write("opps", "Opps!")
    blog.build()
    blog.write("opps", "Ooops!", date="someday")
    with pytest.raises(BuildRefused, match=r"opps\.md"):
        blog.build()
    comment = say(blog.store)
    blog.follow()
    assert f"comment-{comment.id}" in blog.page("2007/10/opps.html")
    assert "Ooops!" not in blog.page("feeds/comments.atom.xml")
    opps.unlink()


def test_a_new_title_of_a_refused_build_reaches_no_feed(blog: Blog) -> None:
    blog.build()
    blog.write("opps", "Ooops!")
    (blog.settings.content / "posts" / "bad.md").write_bytes(b"")
    with pytest.raises(BuildRefused):
        blog.build()
    say(blog.store)
    blog.follow()
    assert "Nora on Opps!" in blog.page("feeds/comments.atom.xml")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("{% if %}", r"page\.html, line \d+: TemplateSyntaxError"),
        ("{{ no.where }}", r"page\.html, line \d+: Undefined"),
    ],
)
def test_a_broken_theme_is_refused_and_its_line_named(blog: Blog, broken: str, says: str) -> None:
    blog.build()
    before = tree(blog.output)
    template = blog.folder / "theme" / "templates" / "page.html"
    whole = template.read_text(encoding="utf-8")
    template.write_text(whole.replace("{{ page.content|safe }}", broken), encoding="utf-8")
    with pytest.raises(BuildRefused, match=says) as refused:
        blog.build()
    assert len(str(refused.value).splitlines()) == 1
    assert tree(blog.output) == before


def test_a_broken_configuration_is_refused_and_its_line_named(blog: Blog) -> None:
    with (blog.folder / "pelicanconf.py").open("a", encoding="utf-8") as file:
        file.write("\nSITENAME = 1 / 0\n")
    with pytest.raises(BuildRefused, match=r"pelicanconf\.py, line \d+: ZeroDivisionError"):
        blog.build()


def test_a_folder_that_is_no_shop_is_refused(blog: Blog) -> None:
    shutil.rmtree(blog.settings.content / "posts")
    with pytest.raises(BuildRefused, match="posts live there"):
        blog.build()
    (blog.folder / "pelicanconf.py").unlink()
    with pytest.raises(BuildRefused, match="no such file"):
        blog.build()


def test_labels_that_look_alike_are_kept_apart(blog: Blog) -> None:
    for number in range(12):
        blog.write(f"sock-{number}", tags="sock")
    blog.write("second", "The second", tags="sock2")
    blog.build()
    assert "The second" not in blog.page("label/sock.html")
    assert "The second" in blog.page("label/sock2.html")
    assert blog.page("label/sock.html").count('<article class="post') == 12
    assert not (blog.output / "label" / "sock22.html").exists()


def test_a_post_that_is_taken_away_disappears(blog: Blog) -> None:
    say_file = blog.settings.content / "posts" / "opps.md"
    blog.build()
    say_file.unlink()
    blog.build()
    for name in ("2007/10/opps.html", "2007/10/opps.comments.atom.xml", "2007/10", "label/apology.html"):
        assert not (blog.output / name).exists(), name
    assert "Opps!" not in blog.page("index.html") + blog.page("archives.html") + blog.page("feeds/posts.atom.xml")
    with blog.store.reading() as session:
        assert find_thread(session, "/2007/10/opps.html") is None


def test_what_is_not_published_is_only_where_its_own_private_link_leads(blog: Blog) -> None:
    for slug, status in (("someday", "draft"), ("whisper", "hidden")):
        file = blog.write(slug, f"A {slug}")
        file.write_text(file.read_text(encoding="utf-8").replace("published", status), encoding="utf-8")
    page = blog.settings.content / "pages" / "later.md"
    page.write_text("Title: A later page\nSlug: later\nStatus: draft\n\nSoon.\n", encoding="utf-8")
    blog.build()
    site = tree(blog.output)
    assert not [name for name, data in site.items() if b"later page" in data or "draft" in name]
    for slug in ("someday", "whisper"):
        (private,) = [name for name, data in site.items() if slug.encode() in data or slug in name]
        assert re.fullmatch(rf"preview/[\w-]{{24}}/{slug}\.html", private)
        assert b'name="robots" content="noindex' in site[private]
        # Others' browsers send its place to nobody, and nobody can comment there.
        assert b'name="referrer" content="no-referrer' in site[private]
        assert b"Post a Comment" not in site[private]


def test_a_post_that_is_hidden_and_shown_again_has_its_comments_as_before(blog: Blog) -> None:
    blog.build()
    say(blog.store, "Use Bcc.", author="Nora", post="/2007/10/opps.html")
    blog.build()
    before = tree(blog.output)
    assert b"Use Bcc." in before["2007/10/opps.html"]
    post = blog.settings.content / "posts" / "opps.md"
    shown = post.read_text(encoding="utf-8")
    post.write_text(shown.replace("Status: published", "Status: hidden"), encoding="utf-8")
    blog.build()
    hidden = tree(blog.output)
    assert not [name for name, data in hidden.items() if b"Use Bcc." in data or name.startswith("2007/10/opps")]
    post.write_text(shown, encoding="utf-8")
    blog.build()
    assert tree(blog.output) == before


def test_a_published_post_that_links_to_a_private_one_is_told_so_and_another_private_one_is_not(blog: Blog) -> None:
    for slug, status in (("someday", "draft"), ("whisper", "hidden"), ("told", "published"), ("between", "draft")):
        file = blog.write(slug, f"A {slug}", text="See [it]({filename}someday.md), [it]({filename}whisper.md).")
        file.write_text(file.read_text(encoding="utf-8").replace("published", status), encoding="utf-8")
    assert [line.partition("posts/")[2] for line in blog.build().warnings] == [
        f"told.md:8: the link to {{filename}}{slug}.md shows everybody the private link of what is not published"
        for slug in ("someday", "whisper")
    ]


def test_what_is_somebody_elses_in_the_output_is_left_alone_and_the_rest_goes(blog: Blog) -> None:
    blog.build()
    for name in ("pagefind/index.js", "old/page.html", ".page.html.new"):
        (blog.output / name).parent.mkdir(exist_ok=True)
        (blog.output / name).write_text("x", encoding="utf-8")
    assert blog.build().files.removed == 2
    assert (blog.output / "pagefind" / "index.js").exists()
    assert not (blog.output / "old").exists()


def test_a_link_to_a_file_that_is_not_there_is_told_once_with_its_line_and_stops_nothing(blog: Blog) -> None:
    blog.write("list", text="See [our list]({static}/images/list.pdf) and [the dog]({filename}dog.md).")
    page = blog.settings.content / "pages" / "about.md"
    page.write_text("Title: About\nSlug: about\n\nSee [it]({static}/images/none.pdf).\n", encoding="utf-8")
    warnings = blog.build().warnings
    assert [line.partition("content/")[2] for line in warnings if "no such file" in line or "Unable" in line] == [
        "pages/about.md:4: the link to {static}/images/none.pdf leads nowhere: there is no such file",
        "posts/list.md:8: the link to {filename}dog.md leads nowhere: there is no such file",
        "posts/list.md:8: the link to {static}/images/list.pdf leads nowhere: there is no such file",
    ]
    assert "See <a" in blog.page("about.html")


def test_a_blog_without_posts_can_be_built(blog: Blog) -> None:
    for file in (blog.settings.content / "posts").glob("*.md"):
        file.unlink()
    blog.build()
    assert "Nothing has been written yet" in blog.page("archives.html")
    for name in ("feeds/posts.atom.xml", "feeds/comments.atom.xml"):
        read = feedparser.parse(blog.page(name))
        assert not read.bozo
        assert read.entries == []
    assert blog.build().files.written == 0


def test_the_posts_feed_is_read_by_feed_readers_and_every_link_in_it_is_whole(blog: Blog) -> None:
    blog.write("linked", text="![A sock](/images/logo.svg) and [the dog](/2007/06/biscuit.html#x) and [`/x`](mailto:a)")
    blog.build()
    xml = blog.page("feeds/posts.atom.xml")
    read = feedparser.parse(xml)
    assert not read.bozo
    assert len(read.entries) == 4
    assert {link.href for link in read.feed.links} >= {"http://127.0.0.1:8000/feeds/posts.atom.xml"}
    content = "".join(element.text or "" for element in ET.fromstring(xml).iter("{http://www.w3.org/2005/Atom}content"))  # noqa: S314 - ours
    assert 'src="http://127.0.0.1:8000/images/logo.svg"' in content
    assert 'href="http://127.0.0.1:8000/2007/06/biscuit.html#x"' in content
    assert not re.search(r'(?:src|href)="/', content)


def test_headings_of_a_post_go_on_below_its_title_wherever_it_stands(blog: Blog) -> None:
    blog.write("opps", "Opps!", text=FOOTNOTES)
    blog.write("again", "Again", date="2007-10-09 10:00", text=FOOTNOTES)
    blog.build()
    for name in ("index.html", "2007/10/index.html", "2007/10/opps.html", "label/socks.html"):
        soup = BeautifulSoup(blog.page(name), "html5lib")
        main = soup.main
        assert main is not None
        levels = [int(heading.name[1]) for heading in main.find_all(re.compile("^h[1-6]$"))]
        assert levels.count(1) == 1
        # Blogger prints a post's date above its title, on the post's own page too.
        below = levels[levels.index(1) :]
        assert all(after <= before + 1 for before, after in pairwise(below)), (name, levels)
        anchors = [element["id"] for element in soup.select("[id]")]
        assert len(anchors) == len(set(anchors)), name
        for link in soup.select('main a[href^="#"]'):
            assert str(link["href"]).removeprefix("#") in anchors, name


def test_what_only_looks_like_a_tag_is_left_as_it_is() -> None:
    example = '<p><code>&lt;h2 id="x"&gt; href="/x"</code></p>'
    assert listed(example, "opps", 2) == example
    assert absolute(example, "https://socks.example/") == example
    assert (
        absolute('<a href="/?a=1&amp;b=2#c">', "https://s.example/x/") == '<a href="https://s.example/?a=1&amp;b=2#c">'
    )
    assert listed('<h6 id="a">x</h6>', "opps", 2) == '<h6 id="opps-a">x</h6>'


def test_in_a_list_only_the_first_post_has_a_picture_that_comes_at_once(blog: Blog) -> None:
    for number in range(3):
        pair = "![One](/images/opps.svg)\n\n![Two](/images/opps.svg)"
        blog.write(f"pair{number}", date=f"2008-01-0{3 - number} 10:00", text=pair)
    blog.build()
    posts = BeautifulSoup(blog.page("index.html"), "html5lib").select("article.post")[:3]
    come = [[image.get("loading") for image in post.select("img")] for post in posts]
    assert come == [[None, "lazy"], ["lazy", "lazy"], ["lazy", "lazy"]]
    alone = BeautifulSoup(blog.page("2008/01/pair2.html"), "html5lib").select("article.post img")
    assert [image.get("loading") for image in alone] == [None, "lazy"]
    # An example of a tag is none.
    assert listed("<p>&lt;img src=&gt; and <code>&lt;img&gt;</code></p>", "opps", 2).count("lazy") == 0


def test_what_is_compressed_beside_a_page_is_that_page_after_a_comment_and_after_a_build(blog: Blog) -> None:
    with (blog.folder / "pelicanconf.py").open("a", encoding="utf-8") as file:
        file.write("\nPRECOMPRESS = True\n")

    def stale() -> list[str]:
        found = [path for path in blog.output.rglob("*.gz") if gzip.decompress(path.read_bytes()) != plain(path)]
        return [path.name for path in found]

    def plain(path: Path) -> bytes:
        return path.with_suffix("").read_bytes()

    blog.build()
    assert (blog.output / "2007" / "10" / "opps.html.gz").exists()
    assert stale() == []
    say(blog.store)
    assert blog.follow() == 1
    assert stale() == []
    assert blog.build().files.written == 0
    blog.write("opps", "Opps, again!")
    # The post, its feed and its lists; and beside each what is compressed.
    assert 5 < blog.build().files.written < 40
    assert stale() == []
    assert tree(blog.output) == blog.built_elsewhere()
