"""The pages as a browser sees them, and the publisher at work."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import html5lib
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from feedback_app.comments.models import Comment
from feedback_app.config import load_settings
from feedback_app.store import open_store
from tests.comments.talk import OPPS, say
from tests.conftest import OPPS_DAY
from tests.support.shop import Shop, wait_for

FORM = "/feedback/comments/new?post=/2007/10/opps.html"
KINDS = {
    "home": "/",
    "a post": "/2007/10/opps.html",
    "a post without comments": "/2007/06/biscuit.html",
    "a month": "/2007/10/",
    "the archive": "/archives.html",
    "a label": "/label/privacy.html",
    "a page": "/about.html",
    "the form": FORM,
    "the form for an answer": f"{FORM}&parent=1",
    "a form for nothing": "/feedback/comments/new?post=/gone.html",
    "the thanks": "/feedback/comments/received?post=/2007/10/opps.html&waits=yes",
}
TALK = (
    (None, "Nora", "Use **Bcc**, friends.\n\n> We typed all the addresses into one line\n\nThat's the trouble."),
    (1, "Bob & <Co>", "- one sock\n- `another` sock\n\n[link](https://example.com/)"),
    (2, "Bartholomew Featherstonehaugh-Cholmondeley the Younger of Upper Wallop", "Indeed."),
    (3, "Alice", "Deep down."),
    (4, "Carol", f"A word without an end: {'sock' * 60}"),
    (None, "Tess", f"    {'x' * 300}"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The project's own blog with a lively thread, served; its address."""
    shop = Shop.at(tmp_path_factory.mktemp("site") / "shop")
    with shop.serving():
        settings = load_settings({"UNDISCLOSED_INSTANCE": str(shop.instance)})
        store = open_store(settings)
        said: list[Comment] = []
        for number, (parent, author, text) in enumerate(TALK):
            question = said[parent - 1] if parent else None
            moment = OPPS_DAY + timedelta(minutes=number)
            said.append(say(store, text, author=author, post=OPPS.path, parent=question, now=moment))
        store.close()
        wait_for(lambda: "6 Comments" in shop.get("/2007/10/"), "the thread on the site")
        yield shop.url


# Also those that would only be loaded once somebody scrolls down to them.
BROKEN_IMAGES = """
async () => (await Promise.all([...document.images].map(image => {
  image.loading = "eager";
  return image.decode().then(() => null, () => image.src);
}))).filter(Boolean)
"""


def fetch(url: str) -> str:
    """A page's source, whatever its status."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_page_is_strict_html_without_scripts_or_inline_styles(site: str, kind: str) -> None:
    source = fetch(site + KINDS[kind])
    html5lib.HTMLParser(strict=True).parse(source)
    soup = BeautifulSoup(source, "html5lib")
    # Data for machines is no script.
    for data in soup.select('script[type="application/ld+json"]'):
        assert json.loads(str(data.string))["@type"] == "BlogPosting"
        data.decompose()
    # The form has one script of our own, which nothing needs; nothing is written into a page.
    foreign = "script:not([src='/theme/js/comments.js']), style, iframe, object, embed, base, meta[http-equiv]"
    assert soup.select(foreign) == []
    assert not [
        name for element in soup.find_all() for name in element.attrs if name.startswith("on") or name == "style"
    ]
    assert len(soup.select("h1")) == 1
    assert soup.title is not None
    assert soup.title.get_text().endswith("Mongrel Socks")
    anchors = [element["id"] for element in soup.select("[id]")]
    assert len(anchors) == len(set(anchors))
    for image in soup.select("img"):
        assert image.has_attr("alt"), image
        assert image.has_attr("width"), image


def test_every_link_within_the_blog_leads_somewhere(site: str) -> None:
    seen, waiting = set[str](), ["/"]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        with urllib.request.urlopen(site + path, timeout=10) as answer:  # noqa: S310 - our own
            source = answer.read().decode() if "html" in answer.headers["Content-Type"] else ""
        for element in BeautifulSoup(source, "html5lib").select("a[href], link[href], img[src]"):
            target = str(element.get("href") or element.get("src")).removeprefix(site).partition("#")[0]
            if target.startswith("/") and not target.startswith("/feedback/") and target not in {*seen, *waiting}:
                waiting.append(target)
    assert len(seen) > 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_fits_a_phone_a_tablet_and_a_desk(browser: Browser, site: str, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    elsewhere: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(site) else elsewhere.append(request.url))
    for kind, path in KINDS.items():
        page.goto(site + path)
        for width in (360, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, f"{kind} at {width}: {over} too wide"
        assert page.evaluate(BROKEN_IMAGES) == [], kind
    context.close()
    assert elsewhere == []


def test_a_post_has_everything_that_readers_of_the_old_blog_look_for(page: Page, site: str) -> None:
    page.goto(f"{site}/2007/10/opps.html")
    expect(page.get_by_role("heading", name="Wednesday, October 10, 2007", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Opps!")
    expect(page.locator(".byline")).to_have_text("Posted by Mongrel Socks at 9:41 AM")
    expect(page.locator(".labels")).to_contain_text("Labels:")
    assert page.locator(".labels a").all_inner_texts() == ["apology", "privacy", "customers"]
    expect(page.get_by_role("heading", name="6 Comments", exact=True)).to_be_visible()
    for name, leads_to in {
        "Post a Comment": FORM,
        "Subscribe to Post Comments [Atom]": "/2007/10/opps.comments.atom.xml",
        "<< Home": "/",
        "Newer Post Thanksgiving hours, and a word about pie": "/2007/11/thanksgiving-hours.html",
        "Older Post Arm warmers, explained": "/2007/09/arm-warmers-explained.html",
    }.items():
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("href", leads_to)


def test_the_first_and_the_last_post_have_one_neighbour_each(page: Page, site: str) -> None:
    page.goto(f"{site}/2007/12/how-we-write-letters-now.html")
    assert page.locator(".neighbours a").count() == 2
    expect(page.locator(".newer")).to_have_count(0)
    page.goto(f"{site}/2007/02/why-odd-pairs.html")
    expect(page.locator(".older")).to_have_count(0)


@pytest.mark.parametrize("kind", ["home", "a post", "the form"])
def test_the_first_tab_reaches_the_skip_link_and_the_next_the_text(page: Page, site: str, kind: str) -> None:
    page.goto(site + KINDS[kind])
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    expect(skip).to_have_text("Skip to the text")
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_a_link_to_a_comment_shows_which_one_is_meant(page: Page, site: str) -> None:
    page.goto(f"{site}/2007/10/opps.html#comment-4")
    meant, other = page.locator("#comment-4 > article"), page.locator("#comment-1 > article")
    expect(meant).to_be_in_viewport()
    colour = "element => getComputedStyle(element).backgroundColor"
    assert meant.evaluate(colour) != other.evaluate(colour)


def test_on_paper_there_are_the_post_and_its_comments_and_no_navigation(page: Page, site: str) -> None:
    page.goto(f"{site}/2007/10/opps.html")
    page.emulate_media(media="print")
    for hidden in (".site-nav", ".site-footer", ".neighbours", ".say", ".reply >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#comment-1")).to_be_visible()


def test_nora_posts_with_the_keyboard_alone(page: Page, site: str) -> None:
    page.goto(site + FORM)
    page.get_by_label("Your name").focus()
    page.keyboard.type("Nora")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("Use Bcc.")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_attribute("name", "notify")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Post")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("waits for approval")


def test_the_site_follows_its_files_and_the_store_and_never_shows_a_broken_post(shop: Shop) -> None:
    biscuit = shop.folder / "content" / "posts" / "2007-06-21-biscuit.md"
    whole = biscuit.read_text(encoding="utf-8")
    page = "/2007/06/biscuit.html"
    with shop.serving(moderation="none"):
        biscuit.write_text(whole.replace("Biscuit, after whom", "Biscuit, the dog"), encoding="utf-8")
        wait_for(lambda: "Biscuit, the dog" in shop.get(page), "the new title")
        biscuit.write_text(whole.replace("Date: 2007", "Date: someday in 2007"), encoding="utf-8")
        log = shop.folder / "serve.log"
        wait_for(lambda: "biscuit.md" in log.read_text(encoding="utf-8"), "the log to name the broken post")
        assert "Biscuit, the dog" in shop.get(page)
        assert shop.healthy()
        assert "Post a comment" in shop.get(f"/feedback/comments/new?post={page}")
        biscuit.write_text(whole, encoding="utf-8")
        wait_for(lambda: "Biscuit, after whom" in shop.get(page), "the mended post")
        assert "Traceback" not in log.read_text(encoding="utf-8")


def test_a_word_is_found_in_the_posts_that_have_it(page: Page, site: str) -> None:
    wait_for(lambda: "pagefind" in fetch(f"{site}/pagefind/pagefind.js"), "the search index")
    page.goto(f"{site}/search.html")
    page.get_by_label("Words to look for").fill("commission in socks")
    expect(page.locator("#results").get_by_role("link", name="Biscuit, after whom")).to_be_visible(timeout=30_000)
    page.get_by_label("Words to look for").fill("xylophone")
    expect(page.get_by_role("status")).to_contain_text("Nothing has")


def test_without_script_the_search_leads_to_the_archive(browser: Browser, site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/search.html")
    expect(page.locator("main").get_by_role("link", name="the archive")).to_have_attribute("href", "/archives.html")
    expect(page.get_by_label("Words to look for")).to_be_hidden()
    context.close()
