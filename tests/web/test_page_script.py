"""The script of a post's page in a real browser, under the real policy. Everything also works without it."""

import gzip
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from feedback_app.app import Serving, create_app
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.comments.spam.verdicts import PROVEN, TOO_FAST
from feedback_app.config import Settings, load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from tests.support.blog import make_blog
from tests.support.clock import Clock
from tests.support.comments import OPPS, publish, say, set_status
from tests.support.databases import SQLITE
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.serving import serving

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

SCRIPT = "theme/js/comments.js"
# Compressed bytes: the script, and a post's page with its styles.
MOST_SCRIPT, MOST_PAGE = 5_000, 14_000
Serve = Callable[..., str]


@pytest.fixture(scope="module")
def site(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built blog with one comment on "Opps!"."""
    folder = tmp_path_factory.mktemp("scripted")
    (folder / "instance").mkdir()
    shutil.copy(sqlite_template, folder / "instance" / "store.db")
    names = {"instance": folder / "instance", "content": folder / "content", "output": folder / "output"}
    own = load_settings(
        {f"UNDISCLOSED_{name.upper()}": str(path) for name, path in names.items()}
        | {"UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY, "UNDISCLOSED_SECRET_KEY": SECRET_KEY}
    )
    store = open_store(own)
    publish(store, OPPS)
    say(store)
    blog = make_blog(folder, own, store)
    blog.build()
    store.close()
    return blog.output


@pytest.fixture
def serve(make_settings: Callable[..., Settings], store: Store, site: Path, clock: Clock) -> Iterator[Serve]:  # noqa: ARG001 - its time is pinned
    """A function that serves the blog and the app, and returns the URL of "Opps!"."""
    publish(store, OPPS)
    say(store)
    with ExitStack() as servers:

        def start(**settings: str) -> str:
            app = create_app(
                make_settings(output=str(site), moderation="none", **settings),
                store,
                Serving(loopback=True, workers=frozenset()),
            )
            return servers.enter_context(serving(app)) + OPPS.path

        yield start


def newest(store: Store) -> Comment:
    with store.reading() as session:
        return session.scalars(select(Comment).order_by(Comment.id.desc())).first() or pytest.fail("no comment")


def count(store: Store) -> int:
    with store.reading() as session:
        return len(session.scalars(select(Comment.id)).all())


def test_a_reader_posts_and_answers_without_leaving_the_page(serve: Serve, page: Page, store: Store) -> None:
    opps = serve(rate_limits="off")
    page.goto(opps)
    page.get_by_role("link", name="Post a Comment").click()
    form = page.get_by_role("form", name="Post a comment")
    expect(form.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("Walter")
    form.get_by_label("Your comment").fill("I **agree**.")
    expect(form.locator(".live strong").nth(1)).to_have_text("agree")
    form.get_by_role("button", name="Post").click()
    expect(page.get_by_role("status")).to_contain_text("being added")
    expect(page.get_by_role("status")).to_be_focused()
    posted = newest(store)
    expect(page.locator(f".thread #comment-{posted.id} .text strong")).to_have_text("agree")
    assert page.url == opps
    # By keyboard alone: the answer form opens below its comment; closing it returns the focus.
    reply = page.locator("#comment-1 a.reply")
    reply.focus()
    page.keyboard.press("Enter")
    answer = page.locator("#comment-1").get_by_role("form", name="Answer Nora")
    expect(answer.get_by_label("Your name")).to_be_focused()
    answer.get_by_role("button", name="Close").press("Enter")
    expect(answer).to_have_count(0)
    expect(reply).to_be_focused()
    page.keyboard.press("Enter")
    answer.get_by_label("Your name").fill("Walter")
    answer.get_by_label("Your comment").fill("Me too.")
    answer.get_by_role("button", name="Post").press("Enter")
    expect(page.locator("#comment-1 .comments .comment .text")).to_have_text("Me too.")
    assert (newest(store).parent_id, count(store)) == (1, 3)


def test_a_draft_stays_in_the_readers_own_browser_until_it_is_posted(serve: Serve, page: Page, store: Store) -> None:
    opps = serve(rate_limits="off")
    page.goto(opps)
    page.get_by_role("link", name="Post a Comment").click()
    page.get_by_label("Your name").fill("Walter")
    page.get_by_label("Your e-mail address").fill("walter@example.org")
    page.get_by_label("Your comment").fill("Half a thought")
    page.reload()
    page.get_by_role("link", name="Post a Comment").click()
    expect(page.get_by_label("Your comment")).to_be_focused()
    expect(page.get_by_label("Your comment")).to_have_value("Half a thought")
    # The address is not stored: others may use this browser.
    expect(page.get_by_label("Your e-mail address")).to_have_value("")
    assert "walter@" not in str(page.evaluate("JSON.stringify(localStorage)"))
    # The answer form takes over what was typed into the other one.
    page.get_by_label("Your e-mail address").fill("walter@example.org")
    page.locator("#comment-1 a.reply").click()
    expect(page.locator("#comment-1").get_by_label("Your comment")).to_have_value("Half a thought")
    expect(page.get_by_label("Your e-mail address")).to_have_value("walter@example.org")
    expect(page.locator("#comment-form")).to_have_count(1)
    page.get_by_role("button", name="Post").click()
    expect(page.get_by_role("status")).to_be_focused()
    assert page.evaluate("localStorage.length") == 0
    assert newest(store).text == "Half a thought"


def test_nothing_typed_is_lost_without_the_app_or_with_an_old_session(
    browser: Browser, serve: Serve, store: Store
) -> None:
    opps = serve(rate_limits="off")
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(opps)
        page.get_by_role("link", name="Post a Comment").click()
        page.get_by_label("Your name").fill("Walter")
        page.get_by_label("Your comment").fill("Long and well thought out.")
        page.route("**/feedback/**", lambda route: route.abort())
        page.get_by_role("button", name="Post").click()
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
        expect(page.get_by_label("Your comment")).to_have_value("Long and well thought out.")
        page.get_by_role("button", name="Close").click()
        page.get_by_role("link", name="Post a Comment").click()
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
        expect(page.get_by_role("heading", name="Opps!", level=1)).to_be_visible()
        page.unroute("**/feedback/**")
        page.get_by_role("link", name="Post a Comment").click()
        expect(page.get_by_label("Your comment")).to_have_value("Long and well thought out.")
        expect(page.get_by_role("alert")).to_have_count(0)
        # The session ends, and with it the form's token.
        context.clear_cookies()
        page.get_by_role("button", name="Post").click()
        expect(page.get_by_role("alert")).to_contain_text("still here")
        expect(page.get_by_label("Your comment")).to_have_value("Long and well thought out.")
        expect(page.get_by_label("Your comment")).to_be_focused()
        assert count(store) == 1
        page.get_by_role("button", name="Post").click()
        expect(page.get_by_role("status")).to_be_focused()
    assert newest(store).text == "Long and well thought out."


def test_an_error_is_shown_at_its_field_which_gets_the_focus(browser: Browser, serve: Serve, store: Store) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(serve(rate_limits="off"))
        page.get_by_role("link", name="Post a Comment").click()
        page.get_by_label("Your name").fill("walter@example.org")
        page.get_by_label("Your comment").fill("Words.")
        page.get_by_role("button", name="Post").click()
        expect(page.get_by_label("Your name")).to_be_focused()
        expect(page.get_by_label("Your name")).to_have_accessible_description(
            "Everybody sees your name: leave the address out of it."
        )
        assert count(store) == 1


def test_an_answer_to_a_deleted_comment_is_refused_before_typing(browser: Browser, serve: Serve, store: Store) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(serve(rate_limits="off"))
        set_status(store, CommentStatus.DELETED, newest(store))
        page.locator("#comment-1 a.reply").click()
        form = page.get_by_role("form", name="Post a comment")
        expect(form.get_by_role("alert")).to_contain_text("The comment you wanted to answer is gone")
        expect(form.get_by_label("Your name")).to_be_focused()
        form.get_by_label("Your name").fill("Walter")
        form.get_by_label("Your comment").fill("To nobody, then.")
        form.get_by_role("button", name="Post").click()
        expect(page.get_by_role("status")).to_contain_text("being added")
        expect(page.get_by_role("alert")).to_have_count(0)
        assert newest(store).parent_id is None


def test_the_browser_does_the_work_for_a_suspicious_comment(serve: Serve, page: Page, store: Store) -> None:
    # The clock is pinned, so every comment is sent suspiciously fast.
    page.goto(serve())
    page.get_by_role("link", name="Post a Comment").click()
    page.get_by_label("Your name").fill("Walter")
    page.get_by_label("Your comment").fill("A quick word.")
    page.get_by_role("button", name="Post").click()
    expect(page.locator(".notice")).to_contain_text("being added", timeout=60_000)
    done = newest(store)
    assert (done.status, done.reasons) == (CommentStatus.APPROVED, [TOO_FAST, PROVEN])


def test_the_browser_does_the_work_on_the_forms_own_page_too(serve: Serve, page: Page, store: Store) -> None:
    opps = serve()
    page.goto(opps.replace(OPPS.path, f"/feedback/comments/new?post={OPPS.path}"))
    page.get_by_label("Your name").fill("Walter")
    page.get_by_label("Your comment").fill("Another quick word.")
    page.get_by_role("button", name="Post").click()
    expect(page.locator(".notice")).to_contain_text("being added", timeout=60_000)
    assert newest(store).status is CommentStatus.APPROVED


def test_the_page_is_whole_without_the_script_which_moves_nothing(browser: Browser, serve: Serve, site: Path) -> None:
    opps = serve()
    seen = []
    for with_script in (True, False):
        with browser.new_context(java_script_enabled=with_script, reduced_motion="reduce") as context:
            page = context.new_page()
            page.goto(opps)
            expect(page.get_by_role("link", name="Post a Comment")).to_be_visible()
            seen.append(page.screenshot(full_page=True))
            page.get_by_role("link", name="Post a Comment").click()
            expect(page.get_by_label("Your comment")).to_be_visible()
            assert (page.url == opps) is with_script
    assert seen[0] == seen[1]
    html = (site / OPPS.path.lstrip("/")).read_bytes()
    assert html.count(b"<script") - html.count(b'<script type="application/ld+json">') == 1
    size = {name: len(gzip.compress((site / name).read_bytes(), 9)) for name in (SCRIPT, "theme/css/site.css")}
    assert size[SCRIPT] < MOST_SCRIPT
    assert size["theme/css/site.css"] + len(gzip.compress(html, 9)) < MOST_PAGE
