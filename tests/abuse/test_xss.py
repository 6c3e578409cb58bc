"""Nothing typed into a field is run by a real browser, even without a security policy."""

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page
from sqlalchemy import delete

from feedback_app.app import create_app
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.comments.threads.public_comments import approved_comments
from feedback_app.comments.threads.renderer import SiteInfo
from feedback_app.config import Moderation, Settings
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.publishing.live.update import pieces_of, site_feed_xml
from feedback_app.security.keys import signer
from feedback_app.security.tokens import Claim, Purpose
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import OPPS, publish, say, set_status
from tests.support.databases import SQLITE
from tests.support.people import BOB, welcome
from tests.support.threads import PLACE
from tests.support.xss import COUNT, FRAMES, PROVOKE, payloads, sample

# The database makes no difference here.
ON_ONE = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

A_PAGE = 40
SAMPLE = 30
# Tried in every field of every form, a page each.
FOR_FORMS = 540
FIELDS = ("author", "email", "body", "website", "seal", "name", "pause_until", "specials", "format", "name_display")
NAMES_AND_WORDS = 3


@pytest.fixture
def open_app(make_settings: Callable[..., Settings], store: Store, clock: Clock) -> Flask:
    """The app without rate limits."""
    assert clock.now() == OPPS_DAY
    publish(store, OPPS)
    return create_app(make_settings(rate_limits="off"), store)


@pytest.fixture
def trusting(browser: Browser) -> Iterator[Page]:
    """A page in a browser that ignores the security policy, so that only the escaping protects."""
    with browser.new_context(bypass_csp=True) as context:
        page = context.new_page()
        page.add_init_script(COUNT)
        # Nothing is fetched: a load fails, as it would for a reader, and its error handlers run.
        page.route("**/*", lambda route: route.abort())
        yield page


def judge(page: Page, documents: Sequence[str]) -> list[str]:
    """Return what was run of these documents, or could be."""
    found: list[str] = []
    for start in range(0, len(documents), A_PAGE):
        page.evaluate(FRAMES, list(documents[start : start + A_PAGE]))
        for frame in page.frames[1:]:
            found += frame.evaluate(PROVOKE)
        found += [f"payload {number} ran in the page around" for number in page.evaluate("window.hits ?? []")]
    return found


def thread_pages(store: Store, tries: Sequence[str], place: SiteInfo = PLACE) -> list[str]:
    """Return pages and feed of posts whose comments have each payload as name and as words."""
    pages = []
    for start in range(0, len(tries), A_PAGE):
        post = OPPS
        with store.writing() as session:
            session.execute(delete(Comment))
        for one in tries[start : start + A_PAGE]:
            said = [
                say(store, one, author=one[:80]),
                say(store, f"Before\n\n{one}\n\nafter *{one}*", author=f"x {one}"[:80]),
            ]
            # Comments with an address or many links wait: the owner approves them.
            set_status(store, CommentStatus.APPROVED, *said)
        with store.reading() as session:
            shown = approved_comments(session, [post.path]).get(post.path, [])
            pieces = pieces_of(post.path, shown, place)
            feed = site_feed_xml(session, place)
        assert len(shown) == 2 * len(tries[start : start + A_PAGE])
        pages.append(
            f"<!DOCTYPE html><html><head>{pieces['data', post.path]}</head><body><main>{''.join(pieces.values())}"
        )
        pages.append(re.sub(r"^<\?xml.*?\?>", "<!DOCTYPE html><pre>", feed))
    return pages


def token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page
    return found[1]


def form_pages(app: Flask, store: Store, desk: LetterContext, tries: Sequence[str], *, all_forms: bool) -> list[str]:
    """Return the answers of the public forms (all, or in turn) to a payload in all their fields."""
    bob = welcome(store, BOB, now=OPPS_DAY)
    centre = desk.preferences_link(bob, OPPS_DAY).removeprefix(desk.settings.site_url)
    change = signer(desk.settings).sign(Claim(Purpose.STOP_ANSWERS, 1), now=OPPS_DAY, days=7)
    forms = [
        (f"/feedback/comments/new?post={OPPS.path}", {"action": "preview"}),
        ("/feedback/preferences", {}),
        (centre, {}),
        ("/feedback/admin/sign-in", {"username": ""}),
    ]
    client: FlaskClient = app.test_client()
    tokens = {path: token(client.get(path, follow_redirects=True).text) for path, _ in forms}
    pages = []
    for number, one in enumerate(tries):
        for path, more in forms if all_forms else [forms[number % len(forms)]]:
            fields = dict.fromkeys((*FIELDS, *(name for name, value in more.items() if not value)), one)
            fields |= {name: value for name, value in more.items() if value} | {"csrf_token": tokens[path]}
            if number % NAMES_AND_WORDS == 0:
                # A form with only a wrong address shows the other fields again, and a preview.
                fields |= {"author": one[:80], "email": "", "notify": ""}
            pages.append(client.post(path, data=fields).text)
        # Payloads in a URL: no page repeats them.
        quoted = quote(one, safe="")
        addresses = [
            ("/feedback/comments/new", {"post": one, "parent": one}),
            ("/feedback/comments/received", {"post": one, "waits": one}),
            (f"/feedback/comments/stop/{change}{quoted}", {}),
        ]
        for address, query in addresses if all_forms else [addresses[number % len(addresses)]]:
            pages.append(client.get(address, query_string=query).text)
    return pages


@ON_ONE
def test_a_sample_of_payloads_runs_nowhere(trusting: Page, open_app: Flask, store: Store, desk: LetterContext) -> None:
    tries = sample(SAMPLE)
    assert judge(trusting, thread_pages(store, tries)) == []
    pages = form_pages(open_app, store, desk, tries, all_forms=False)
    assert sum("ran(" in page for page in pages) > len(tries) // 2
    assert judge(trusting, pages) == []


@ON_ONE
def test_no_payload_runs_in_the_owners_browser(trusting: Page, at_work: FlaskClient, store: Store) -> None:
    publish(store, OPPS)
    tries = sample(SAMPLE)
    waiting = [say(store, one, author=one[:80], moderation=Moderation.ALL) for one in tries]
    pages = [at_work.get("/feedback/admin/").text]
    assert sum("ran(" in page for page in pages) == 1
    pages += [at_work.get(f"/feedback/admin/comments/{comment.id}").text for comment in waiting[::3]]
    pages += [at_work.get("/feedback/admin/", query_string={"words": one, "post": one}).text for one in tries[1::3]]
    assert judge(trusting, pages) == []


@ON_ONE
@pytest.mark.slow
def test_no_payload_runs_in_a_thread(trusting: Page, store: Store) -> None:
    publish(store, OPPS)
    tries = payloads()
    assert len(set(tries)) >= 500
    assert judge(trusting, thread_pages(store, tries)) == []


@ON_ONE
@pytest.mark.slow
def test_no_payload_runs_in_a_forms_answer(trusting: Page, open_app: Flask, store: Store, desk: LetterContext) -> None:
    assert judge(trusting, form_pages(open_app, store, desk, sample(FOR_FORMS), all_forms=True)) == []


def test_the_check_itself_detects_what_runs(trusting: Page) -> None:
    for number, bad in enumerate(
        (
            "<img src=x onerror=ran(1)>",
            "<script>ran(1)</script>",
            "<p onmouseover=ran(1)>x",
            "<a href='java&#9;script:ran(1)'>x</a>",
            "<iframe srcdoc='<script>parent.ran(1)</script>'></iframe>",
            "<svg><a xlink:href='javascript:ran(1)'>x</a></svg>",
        )
    ):
        assert judge(trusting, [f"<!DOCTYPE html><p>{bad}"]), number


@ON_ONE
def test_the_policy_allows_no_inline_script_or_style(browser: Browser, served: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        for path in ("/feedback/preferences", "/feedback/comments/new?post=/nowhere.html", "/feedback/admin/sign-in"):
            page.goto(served + path)
            refused = page.evaluate(
                """
                async () => {
                  const refused = [];
                  document.addEventListener("securitypolicyviolation", (one) => refused.push(one.effectiveDirective));
                  const add = (html) => document.body.append(document.createRange().createContextualFragment(html));
                  add("<script>window.ranInline = true</" + "script>");
                  add("<style>h1 { color: rgb(1, 2, 3) }</style>");
                  add("<p id=styled style='color: rgb(1, 2, 3)'>x</p>");
                  add("<img id=bad src=data:, onerror='window.ranHandler = true'>");
                  await new Promise((done) => setTimeout(done, 0));
                  document.getElementById("bad").dispatchEvent(new Event("error"));
                  const seen = [...document.querySelectorAll("h1, #styled")];
                  const colours = seen.map((one) => getComputedStyle(one).color);
                  if (colours.includes("rgb(1, 2, 3)") || window.ranInline || window.ranHandler)
                    refused.push("something was allowed");
                  return [...new Set(refused)].sort();
                }
                """
            )
            assert "something was allowed" not in refused
            assert {"script-src-attr", "script-src-elem", "style-src-attr", "style-src-elem"} <= set(refused)
