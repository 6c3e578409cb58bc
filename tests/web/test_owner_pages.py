"""The owner's pages in a real browser: by keyboard alone, without scripts, on a phone, in both colour schemes."""

from itertools import product

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, expect

from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.config import Moderation
from feedback_app.db.store import Store
from feedback_app.desk.services import create_owner
from tests.support.browser_checks import COLOURS, MISSING, STICKING_OUT, WIDTHS
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import OPPS, publish, say
from tests.support.databases import SQLITE
from tests.support.signing_in import ADMIN, PASSWORD, set_up

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


@pytest.fixture
def cookie(app: Flask, store: Store, clock: Clock) -> str:
    """Session cookie of Nora, who is signed in; three comments wait for her."""
    publish(store, OPPS)
    for author, words in (
        ("Walter", "First."),
        ("Walter", "Second."),
        ("W" * 80, f"Third, {'quite long ' * 20}, {'x' * 90}."),
    ):
        say(store, words, moderation=Moderation.ALL, author=author)
    with store.writing() as session:
        create_owner(session, "nora", PASSWORD, who="a test", now=OPPS_DAY)
    client = app.test_client()
    set_up(client, clock, "nora")
    kept = client.get_cookie("undisclosed")
    assert kept
    return kept.value


def sign_in(context: BrowserContext, served: str, cookie: str) -> Page:
    context.add_cookies([{"name": "undisclosed", "value": cookie, "url": served}])
    page = context.new_page()
    page.goto(f"{served}{ADMIN}/")
    return page


def statuses(store: Store) -> list[CommentStatus]:
    with store.reading() as session:
        return [session.get_one(Comment, number).status for number in (1, 2, 3)]


def test_the_queue_can_be_worked_through_by_keyboard(browser: Browser, served: str, cookie: str, store: Store) -> None:
    with browser.new_context() as context:
        page = sign_in(context, served, cookie)
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text))
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.get_by_role("article", name="Comment 2 by Walter")).to_be_focused()
        page.keyboard.press("s")
        expect(page.get_by_role("status")).to_contain_text("1 comment: spam.")
        page.wait_for_load_state()
        assert statuses(store) == [CommentStatus.PENDING, CommentStatus.SPAM, CommentStatus.PENDING]
        page.keyboard.press("u")
        expect(page.get_by_role("status")).to_contain_text("1 thing undone.")
        # The script runs once the page has loaded.
        page.wait_for_load_state()
        for key in "jxjjxa":
            page.keyboard.press(key)
        expect(page.get_by_role("status")).to_contain_text("2 comments: approved.")
        page.wait_for_load_state()
        assert statuses(store) == [CommentStatus.APPROVED, CommentStatus.PENDING, CommentStatus.APPROVED]
        # In a field the keys type letters; and they can be switched off.
        page.keyboard.press("/")
        page.keyboard.type("dads")
        expect(page.get_by_label("Words")).to_have_value("dads")
        page.get_by_text("By keyboard").click()
        page.get_by_label("Use these keys").uncheck()
        page.get_by_role("article", name="Comment 2 by Walter").focus()
        page.keyboard.press("d")
        page.reload()
        expect(page.get_by_text("1 comment waits")).to_be_visible()
        assert problems == []


def test_everything_works_without_scripts(browser: Browser, served: str, cookie: str, store: Store) -> None:
    with browser.new_context(java_script_enabled=False, viewport={"width": 360, "height": 740}) as context:
        page = sign_in(context, served, cookie)
        page.get_by_role("button", name="Approve comment 1").click()
        page.get_by_role("button", name="Undo").click()
        page.get_by_label("Tick comment 2").check()
        page.get_by_label("Tick comment 3").check()
        page.get_by_role("button", name="Reject", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("2 comments: rejected.")
        page.get_by_text("Look for others").click()
        page.get_by_label("Where they stand").select_option("rejected")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name="Edit or answer comment 2").click()
        page.get_by_role("form", name="Answer").get_by_label("Comment").fill("Thank you.")
        page.get_by_role("button", name="Approve and answer").click()
        expect(page.get_by_role("status")).to_contain_text("Your answer is shown.")
        assert statuses(store) == [CommentStatus.PENDING, CommentStatus.APPROVED, CommentStatus.REJECTED]


def test_a_passkey_is_set_up_in_the_browser_and_signs_in_there(
    browser: Browser, served: str, cookie: str, clock: Clock
) -> None:
    # A passkey belongs to a host name, here the machine's own.
    here = served.replace("127.0.0.1", "localhost")
    with browser.new_context() as context:
        page = sign_in(context, here, cookie)
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text))
        devices = context.new_cdp_session(page)
        devices.send("WebAuthn.enable")
        phone = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        devices.send("WebAuthn.addVirtualAuthenticator", {"options": phone | {"isUserVerified": True}})
        page.goto(f"{here}{ADMIN}/account")
        page.get_by_role("link", name="Passkeys").click()
        page.get_by_label("Its name").fill("the phone")
        page.get_by_role("button", name="Set up a passkey").click()
        expect(page.get_by_role("status")).to_contain_text("The passkey the phone is set up")
        # The device says that it has one already; the page explains it.
        page.get_by_label("Its name").fill("once more")
        page.get_by_role("button", name="Set up a passkey").click()
        expect(page.get_by_role("alert")).to_contain_text("This device has a passkey for this site already.")
        page.goto(f"{here}{ADMIN}/leave")
        page.get_by_role("button", name="Sign out").click()
        for field, words in (("User name", "nora"), ("Password", PASSWORD)):
            page.get_by_label(field).fill(words)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="With a passkey").click()
        page.get_by_role("button", name="Use the passkey").click()
        expect(page.get_by_text("3 comments wait")).to_be_visible()
        assert problems == []
        page.goto(f"{served}{ADMIN}/sign-in")
        for field, words in (("User name", "nora"), ("Password", PASSWORD)):
            page.get_by_label(field).fill(words)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="With a passkey").click()
        page.get_by_role("button", name="Use the passkey").click()
        expect(page.get_by_role("alert")).to_contain_text("this address is a number")
        assert clock


def test_every_page_of_the_desk_fits_every_width_in_both_colours(browser: Browser, served: str, cookie: str) -> None:
    with browser.new_context() as context:
        page = sign_in(context, served, cookie)
        for path in ("/", "/?state=any&words=r", "/comments/3", "/posts", "/log", "/account", "/passkeys"):
            page.goto(f"{served}{ADMIN}{path}")
            for width, colour in product(WIDTHS, COLOURS):
                page.set_viewport_size({"width": width, "height": 800})
                page.emulate_media(color_scheme=colour)
                assert page.evaluate(STICKING_OUT) == [], (path, width)
            assert page.evaluate(MISSING) == [], path
