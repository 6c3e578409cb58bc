"""Writing: beginning a post, listing posts, checking them; posts that move keep their thread."""

import json
import re

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from feedback_app.cli import undisclosed
from feedback_app.console import Context
from feedback_app.publishing.content.checks import check_files
from tests.support.blog import Blog
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import say
from tests.support.databases import SQLITE
from tests.support.shop import Shop

CHECKED = {
    "a dead link": ("[gone](/2007/10/gone.html)", "leads nowhere"),
    "a dead anchor": ("[gone](/2007/06/biscuit.html#gone)", "no #gone"),
    "an anchor of its own that is none": ("[up](#up)", "no #up"),
    "a picture without words": ("![](/images/logo.svg)", "no text for those who can't see it"),
    "a picture in HTML without words": ('<img src="/images/logo.svg">', "no text for those who can't see it"),
    "a picture that is not there": ("![A sock](sock.jpg)", "is not there"),
    "an example without an end": ("```\nsock", "does not end"),
    "emphasis without an end": ("So **bold.", "does not end"),
    "a block without an end": ("<blockquote>\nHello", "<blockquote> begins here"),
    "a block without a beginning": ("Hello\n</div>", "closes something"),
    "a link without an end": ("[words](/about.html", "a link begins here"),
    "a mask without an end": ("Said [[Nora Smith.", "[[ begins here"),
    "a name masked once and not twice": ("Said Nora Smith\n\n[[Nora Smith]]", "stands here in full"),
}


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """One database is enough here."""
    return str(request.param)


def run(blog: Blog, *words: str) -> tuple[int, str, str]:
    """Run a command in the blog's folder."""
    context = Context()
    context.__dict__.update(settings=blog.settings, store=blog.store)
    context.close = lambda: None  # type: ignore[method-assign]
    done = CliRunner().invoke(undisclosed, ["post", *words], obj=context)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def here(blog: Blog, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Blog:
    """The blog, as the working folder, on the afternoon of the apology."""
    assert clock.now() == OPPS_DAY
    monkeypatch.chdir(blog.folder)
    return blog


def test_a_new_post_is_a_draft_at_a_private_link_until_it_is_published(here: Blog) -> None:
    code, said, _ = run(here, "new", "Odd socks & even people", "--label", "shop", "--label", "socks")
    assert code == 0
    file = here.settings.content / "posts" / "2007-10-10-odd-socks-even-people.md"
    assert "1 draft" in said
    head = file.read_text(encoding="utf-8")
    assert head.startswith(
        "Title: Odd socks & even people\nDate: 2007-10-10 09:41\nSlug: odd-socks-even-people\n"
        "Tags: shop, socks\nStatus: draft\n"
    )
    file.write_text(f"{head}Soon.\n", encoding="utf-8")
    here.build()
    listed = json.loads(run(here, "list", "--json")[1])
    mine = next(one for one in listed if one["slug"] == "odd-socks-even-people")
    assert (mine["status"], mine["labels"]) == ("draft", ["shop", "socks"])
    private = mine["preview"].removeprefix(here.settings.site_url).lstrip("/")
    assert private in said
    assert "not published" in here.page(private)
    file.write_text(file.read_text(encoding="utf-8").replace("Status: draft", "Status: published"), encoding="utf-8")
    here.build()
    assert not (here.output / private).exists()
    assert "Soon." in here.page(mine["url"].removeprefix(here.settings.site_url).lstrip("/"))


def test_a_title_that_is_none_and_one_that_is_taken_are_refused(here: Blog) -> None:
    assert run(here, "new", "Socks")[0] == 0
    for title in ("Socks", "!!!", "two\nlines\x00", "Ask bob@elsewhere.example", "x" * 300):
        code, said, why = run(here, "new", title)
        assert (code, said) == (1, ""), title
        assert why.count("\n") == 1
        assert "elsewhere" not in why
    assert run(here, "new", "Shoes", "--label", "a, b")[0] == 1


def test_a_post_waits_for_its_date_and_is_listed_as_scheduled(here: Blog) -> None:
    here.write("later", "Later", date="2107-01-01 10:00")
    here.build()
    assert "Later" not in here.page("archives.html") + here.page("feeds/posts.atom.xml") + here.page("sitemap.xml")
    first = json.loads(run(here, "list", "--json")[1])[0]
    assert (first["slug"], first["status"]) == ("later", "scheduled")
    assert "Later" in here.page(first["preview"].removeprefix(here.settings.site_url).lstrip("/"))


@pytest.mark.parametrize("what", CHECKED)
def test_the_checks_name_file_and_line_of(here: Blog, what: str) -> None:
    text, says = CHECKED[what]
    post = here.write("checked", text=f"Words.\n\n{text}")
    here.build()
    found = check_files([post], here.settings.content, here.output, now=OPPS_DAY)
    assert any(re.match(rf".*checked\.md:(?:10|11): .*{re.escape(says)}", line) for line in found), found
    assert "Nora" not in "".join(found)


def test_dates_that_can_not_be_are_named(here: Blog) -> None:
    here.build()
    old = here.write("old", date="1907-10-10 09:41")
    far = here.write("far", date="2107-10-10 09:41")
    turned = here.write("turned")
    head = turned.read_text(encoding="utf-8").replace("Status:", "Modified: 2006-01-01\nStatus:")
    turned.write_text(head, encoding="utf-8")
    found = check_files([old, far, turned], here.settings.content, here.output, now=OPPS_DAY)
    assert [line.partition("posts/")[2].split(": ")[0] for line in found] == [
        "old.md:2",
        "far.md:2",
        "turned.md:5",
    ]


def test_the_shops_own_content_has_nothing_to_mend(sqlite_shop: Shop) -> None:
    sqlite_shop.run("build")
    assert "Nothing to mend" in sqlite_shop.run("post", "check").stdout
    (sqlite_shop.folder / "content" / "posts" / "x.md").write_text(
        "Title: X\nDate: 2007-01-01\nSlug: x\n\n[no](/no.html)\n", encoding="utf-8"
    )
    assert "x.md:5: " in sqlite_shop.run("post", "check", expect=3).stdout


@pytest.mark.parametrize(
    ("change", "new"),
    [(("Slug: opps", "Slug: oops"), "2007/10/oops"), (("2007-10-10", "2007-11-02"), "2007/11/opps")],
)
def test_a_post_that_moves_keeps_its_thread_and_leads_on_from_its_old_address(
    blog: Blog, change: tuple[str, str], new: str
) -> None:
    file = blog.write("opps", "Opps!")
    blog.build()
    comment = say(blog.store)
    blog.follow()
    file.write_text(file.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    blog.build()
    assert f"comment-{comment.id}" in blog.page(f"{new}.html")
    old = BeautifulSoup(blog.page("2007/10/opps.html"), "html5lib")
    refresh = old.select_one('meta[http-equiv="refresh"]')
    assert refresh is not None
    assert refresh["content"] == f"0; url=/{new}.html"
    before = {path: path.read_bytes() for path in blog.output.rglob("*.html")}
    assert blog.build().files.written == 0
    assert {str(path.relative_to(blog.output)): data for path, data in before.items()} == {
        name: data for name, data in blog.built_elsewhere().items() if name.endswith(".html")
    }
    # And back again: no page leads to itself.
    file.write_text(file.read_text(encoding="utf-8").replace(change[1], change[0]), encoding="utf-8")
    blog.build()
    assert f"comment-{comment.id}" in blog.page("2007/10/opps.html")
    assert "refresh" in blog.page(f"{new}.html")


def test_related_posts_are_older_ones_under_the_same_labels(blog: Blog) -> None:
    for number in range(6):
        blog.write(
            f"sock-{number}",
            f"Sock {number}",
            date=f"2007-09-0{number + 1}",
            tags="sock, wool" if number % 2 else "sock",
        )
    blog.build()
    soup = BeautifulSoup(blog.page("2007/09/sock-5.html"), "html5lib")
    assert [link.get_text() for link in soup.select(".related a")] == ["Sock 3"]
    before = blog.page("2007/09/sock-5.html")
    blog.write("sock-9", "Sock 9", date="2007-12-01", tags="sock, wool")
    blog.build()
    assert blog.page("2007/09/sock-5.html") == before
