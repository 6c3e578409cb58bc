"""The pages as a browser sees them, and the publisher at work."""

import json
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import axe_playwright_python
import html5lib
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page, expect

from feedback_app.comments.models import Comment
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from tests.support.clock import OPPS_DAY
from tests.support.comments import OPPS, say
from tests.support.lighthouse import NotJudged, find_lighthouse, judged
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
TRIES = 10
MORE_KINDS = {
    "the search": "/search.html",
    "nothing here": "/404.html",
    "preferences": "/feedback/preferences",
    "the sign-in": "/feedback/admin/sign-in",
}
# How far things jumped about since the page began to load.
MOVED = """
() => new Promise(resolve => {
  let moved = 0;
  const watcher = new PerformanceObserver(list => list.getEntries().forEach(one => { moved += one.value; }));
  watcher.observe({type: "layout-shift", buffered: true});
  setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => {
    watcher.takeRecords().forEach(one => { moved += one.value; });
    resolve(moved);
  })));
})
"""
# Neighbours in the source of which the later one begins above the earlier one's top.
OUT_OF_ORDER = """
() => {
  const named = "header, main h1, main .text, .thread, .say, .neighbours, body > footer";
  const blocks = [...document.querySelectorAll(named)]
    .filter(one => !one.closest(".comment"));
  const top = one => one.getBoundingClientRect().top;
  return blocks.slice(1).filter((one, at) => top(one) < top(blocks[at]) - 1).map(one => one.className || one.tagName);
}
"""
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
    foreign = "script:not([src^='/theme/js/comments.']), style, iframe, object, embed, base, meta[http-equiv]"
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


AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
LEVELS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOOK = "levels => axe.run({runOnly: levels}).then(found => found.violations.map(one => [one.id, one.nodes[0].html]))"
BRIEFLY = {"a post", "the form"}


def barriers(browser: Browser, site: str, kinds: Collection[str], scheme: Literal["light", "dark"]) -> list[object]:
    """What axe-core finds on these kinds of page: the kind, the rule, the element."""
    # The page's own rules let no foreign script in; this one is the test's.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    found: list[object] = []
    for kind in kinds:
        page.goto(site + {**KINDS, **MORE_KINDS}[kind])
        page.evaluate(AXE)
        found += [(kind, scheme, *one) for one in page.evaluate(LOOK, LEVELS)]
    context.close()
    return found


def test_nothing_stands_in_the_way_of_anybody_on_a_post_and_on_its_form(browser: Browser, site: str) -> None:
    assert barriers(browser, site, BRIEFLY, "light") == []
    assert barriers(browser, site, BRIEFLY, "dark") == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_anybody_on_any_kind_of_page(
    browser: Browser, site: str, scheme: Literal["light", "dark"]
) -> None:
    assert barriers(browser, site, [*KINDS, *MORE_KINDS], scheme) == []


def test_a_post_is_two_requests_and_nothing_in_it_moves_while_it_loads(browser: Browser, site: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(site)))
    page.goto(f"{site}/2007/10/opps.html", wait_until="load")
    moved = page.evaluate(MOVED)
    # The post's own pictures, the shop's, and the comments' script, which nothing needs, aside.
    needed = [path for path in asked if not path.startswith(("/images/", "/pictures/", "/theme/js/"))]
    assert needed[0] == "/2007/10/opps.html"
    assert [path[:16] for path in needed[1:]] == ["/theme/css/site."]
    assert moved == 0
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["home", "a post", "a label"])
def test_a_slow_phone_has_nothing_to_complain_of(site: str, tmp_path: Path, kind: str) -> None:
    assert find_lighthouse(), "npm's lighthouse is missing: install Node and npm, then python -m tests.prepare"
    # What else runs on this machine makes a page slower, never quicker: the best of a few counts.
    found: list[object] = []
    for number in range(TRIES):
        try:
            points, lost = judged(site + KINDS[kind], tmp_path / f"{number}.json")
        except NotJudged as error:
            found.append(error)
            continue
        if set(points.values()) == {100}:
            return
        found.append((points, lost))
    pytest.fail("\n".join(map(str, found)))


def tabbed(page: Page, most: int) -> list[str]:
    """Where the keyboard goes, link by link, from the top of a page: what is written there."""
    words = []
    for _ in range(most):
        page.keyboard.press("Tab")
        words.append(str(page.evaluate("document.activeElement.textContent.trim().split(/\\s+/).join(' ')")))
    return words


def test_the_keyboard_goes_through_a_post_as_eyes_do(page: Page, site: str) -> None:
    page.goto(f"{site}/2007/10/opps.html")
    order = tabbed(page, 60)
    steps = ["Skip to the text", "Home", "Archive", "Search", "About", "9:41 AM", "6 Comments", "apology"]
    steps += ["Reply to Nora", "Reply to Tess", "Post a Comment", "<< Home", "Privacy"]
    places = [order.index(step) for step in steps[:-1]]
    assert places == sorted(places)
    # The order of the source, which screen readers follow, is the order on the screen.
    seen = page.evaluate(OUT_OF_ORDER)
    assert seen == []


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


def test_the_privacy_page_is_true_with_and_without_a_spam_service(page: Page, site: str) -> None:
    page.goto(f"{site}/privacy.html")
    expect(page.locator("main")).to_contain_text("off unless a shop turns it on: then the form says so")
    expect(page.locator("main")).to_contain_text("Where the form says nothing of it, nobody else looks at comments")
    expect(page.locator("main")).not_to_contain_text("looked at by anybody else")


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


def follows_its_writer(browser: Browser, shop: Shop, path: str) -> None:
    """A page that is open beside the editor loads anew, in a browser that has asked for it and in no other."""
    post = shop.folder / "content" / "posts" / "2007-06-21-biscuit.md"
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{shop.url}/feedback/reload/")
    page.get_by_role("button", name="Follow my writing").click()
    expect(page.get_by_role("button", name="Follow my writing")).to_have_count(0)
    page.goto(shop.url + path)
    expect(page.get_by_role("heading", level=1)).to_have_text("Biscuit, the dog")
    text = post.read_text(encoding="utf-8")
    post.write_text(text.replace("Biscuit, the dog", "Biscuit, asleep"), encoding="utf-8")
    expect(page.get_by_role("heading", level=1)).to_have_text("Biscuit, asleep", timeout=60_000)
    post.write_text(text, encoding="utf-8")
    expect(page.get_by_role("heading", level=1)).to_have_text("Biscuit, the dog", timeout=60_000)
    context.close()
    assert "reload" not in shop.get(path)
    assert "reload" not in (shop.output / path.lstrip("/")).read_text(encoding="utf-8")


def appears_when_its_time_comes(shop: Shop, file: Path) -> None:
    """A post whose date is a moment away appears, and nobody has run or changed anything meanwhile."""
    due = datetime.now(ZoneInfo("America/New_York")) + timedelta(seconds=5)
    head = f"Title: Soon\nDate: {due:%Y-%m-%d %H:%M:%S}\nSlug: soon\nStatus: published\n"
    file.write_text(f"{head}\nIt has come.\n", encoding="utf-8")
    page = shop.output / f"{due:%Y}" / f"{due:%m}" / "soon.html"
    wait_for(lambda: list(shop.output.glob("preview/*/soon.html")) or page.exists(), "the draft at its private place")
    wait_for(page.exists, "the scheduled post")
    wait_for(lambda: not list(shop.output.glob("preview/*/soon.html")), "the draft to go")


def test_the_site_follows_its_files_and_the_store_and_never_shows_a_broken_post(shop: Shop, browser: Browser) -> None:
    biscuit = shop.folder / "content" / "posts" / "2007-06-21-biscuit.md"
    soon = shop.folder / "content" / "posts" / "soon.md"
    whole = biscuit.read_text(encoding="utf-8")
    page = "/2007/06/biscuit.html"
    with shop.serving(moderation="none"):
        biscuit.write_text(whole.replace("Biscuit, after whom", "Biscuit, the dog"), encoding="utf-8")
        wait_for(lambda: "Biscuit, the dog" in shop.get(page), "the new title")
        follows_its_writer(browser, shop, page)
        appears_when_its_time_comes(shop, soon)
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
