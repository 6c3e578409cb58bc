"""The preference pages in a real browser: at every width, in both colour schemes, by keyboard alone."""

from itertools import product
from urllib.request import urlopen

import html5lib
import pytest
from playwright.sync_api import Browser, Page, expect

from feedback_app.customers.models import Customer, Frequency, NameDisplay
from feedback_app.customers.services import name_of
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from tests.support.browser_checks import COLOURS, MISSING, STICKING_OUT, WIDTHS
from tests.support.clock import OPPS_DAY
from tests.support.databases import SQLITE
from tests.support.people import BOB, welcome

# The database makes no difference here.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

# A choice's label of more than two lines reads as a column of words.
BROKEN_LABELS = """
() => [...document.querySelectorAll(".choices label")]
  .filter((label) => label.getBoundingClientRect().height > 2.5 * parseFloat(getComputedStyle(label).lineHeight))
  .map((label) => label.textContent.trim())
"""


def path_of(desk: LetterContext, link: str) -> str:
    """Return a link's path."""
    return link.removeprefix(desk.settings.site_url)


def send_nonsense(page: Page, url: str) -> None:
    """Send the preference form with values that its page does not let a browser type."""
    page.goto(url)
    page.evaluate("document.forms[0].noValidate = true")
    page.evaluate("document.querySelector('[name=news]:checked').value = 'hourly'")
    page.get_by_label("My name").fill("bob@example.org")
    page.get_by_label("Write nothing until").fill("2001-01-01")
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing is saved yet")


def test_every_page_fits_every_width_in_both_colours_and_names_everything(
    browser: Browser, served: str, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.EACH, news=Frequency.WEEKLY)
    centre = served + path_of(desk, desk.preferences_link(bob, OPPS_DAY))
    out = served + path_of(desk, desk.unsubscribe_link(bob, Topic.REPLIES, OPPS_DAY))
    context = browser.new_context()
    page = context.new_page()

    def look(what: str) -> None:
        for width, colour in product(WIDTHS, COLOURS):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=colour)
            assert page.evaluate(STICKING_OUT) == [], (what, width)
            assert page.evaluate(BROKEN_LABELS) == [], (what, width)
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (max(int(part) for part in background[4:-1].split(",")) > 128) == (colour == "light")
        assert page.evaluate(MISSING) == [], what

    for path in (
        "/feedback/preferences",
        "/feedback/preferences/asked",
        "/feedback/preferences/forged",
        "/feedback/subscribe",
        "/feedback/subscribe/asked",
        "/feedback/no",
    ):
        page.goto(served + path)
        look(path)
    page.goto(f"{served}/feedback/preferences")
    page.evaluate("document.forms[0].noValidate = true")
    page.get_by_label("Your e-mail address").fill("not an address@")
    page.get_by_role("button").click()
    expect(page.get_by_label("Your e-mail address")).to_have_attribute("aria-invalid", "true")
    look("a bad address")
    for url in (centre, f"{centre}?show=address", out):
        page.goto(url)
        look(url)
    send_nonsense(page, centre)
    look("errors")
    page.goto(centre)
    page.get_by_role("button", name="Save my choices").click()
    expect(page.get_by_role("status")).to_contain_text("saved")
    look("saved")
    for more in ("history", "letters", "erase"):
        page.goto(f"{centre}/{more}")
        look(more)
    page.goto(out)
    page.get_by_role("button", name="Stop these letters").click()
    expect(page.get_by_role("status")).to_contain_text("no more letters")
    look("unsubscribed")
    context.close()


def test_a_customer_without_a_mouse_can_choose(page: Page, served: str, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    page.goto(served + path_of(desk, desk.preferences_link(bob, OPPS_DAY)))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the text")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()

    def tab_to(name: str) -> None:
        """Press Tab, and check that the expected element has the focus and is visible."""
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        expect(focused).to_be_in_viewport()
        assert (
            page.evaluate("[...document.activeElement.labels ?? []].map((label) => label.textContent.trim())[0]")
            == name
        )
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") != "none"
        assert focused.evaluate("element => parseFloat(getComputedStyle(element).outlineWidth)") >= 2

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Show the whole address")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Change my address")).to_be_focused()
    tab_to("Each time")
    page.keyboard.press("ArrowDown")
    tab_to("Never")
    page.keyboard.press("ArrowDown")
    tab_to("Never")
    tab_to("With colours and links (HTML)")
    tab_to("Undisclosed: no name at all")
    page.keyboard.press("ArrowDown")
    tab_to("My name")
    page.keyboard.type("Bobby Brown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("saved")
    expect(page.get_by_role("list").filter(has_text="it was")).to_contain_text("weekly, in one letter")
    with store.reading() as session:
        customer = session.get_one(Customer, bob)
        # Tab selects a field's text, so typing replaced it.
        assert name_of(session, customer) == "Bobby Brown"
        assert customer.name_display is NameDisplay.FIRST


def test_an_error_message_leads_to_its_field(browser: Browser, served: str, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    # Not the fixture's page, which fails the test for status 400.
    with browser.new_context() as context:
        page = context.new_page()
        send_nonsense(page, served + path_of(desk, desk.preferences_link(bob, OPPS_DAY)))
        page.get_by_role("alert").get_by_role("link", name="My name").click()
        page.keyboard.press("Tab")
        expect(page.get_by_label("Write nothing until")).to_be_focused()
        expect(page.get_by_label("My name")).to_have_value("bob@example.org")
        expect(page.get_by_role("group", name="News from the blog")).to_have_accessible_description(
            "News: you may write to me when there is a new post on the blog. Not a valid choice."
        )


def test_every_page_is_strict_html(served: str, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    paths = ["/feedback/preferences", "/feedback/preferences/asked", "/feedback/subscribe", "/feedback/subscribe/asked"]
    paths += [
        path_of(desk, desk.preferences_link(bob, OPPS_DAY)),
        path_of(desk, desk.preferences_link(bob, OPPS_DAY)) + "?show=address",
    ]
    paths += [
        f"{path_of(desk, desk.preferences_link(bob, OPPS_DAY))}/{more}" for more in ("history", "letters", "erase")
    ]
    paths += [path_of(desk, desk.unsubscribe_link(bob, topic, OPPS_DAY)) for topic in Topic]
    for path in paths:
        with urlopen(served + path) as answer:  # noqa: S310 - our own
            html5lib.HTMLParser(strict=True).parse(answer.read())
