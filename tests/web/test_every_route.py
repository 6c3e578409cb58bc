"""Every route of the app answers every request with a helpful page and security headers."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule

from feedback_app.app import MAX_BODY_BYTES, Serving, create_app
from feedback_app.config import Moderation, Settings
from feedback_app.customers.address_changes import request_change
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import Customer, Frequency
from feedback_app.customers.subscriptions import SubscriptionRequest, request_confirmation
from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base
from feedback_app.db.engine import make_engine
from feedback_app.db.store import Store
from feedback_app.heartbeats import PATIENCE, WorkerKind, beat
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.security.tokens import Claim, Purpose
from feedback_app.web.headers import HEADERS
from feedback_app.web.problem_details import API_PREFIX
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import OPPS, publish, say
from tests.support.databases import SQLITE
from tests.support.people import BOB, welcome

VALUES = [
    "x",
    "0",
    "-1",
    "9" * 40,
    "%00",
    "%FF",
    "Zo%C3%AB",
    "..",
    "..%2f..%2fetc",
    "%3Cb%3E",
    "a" * 3000,
    "a.eml",
    "'--",
]
QUERIES = [
    "",
    "?",
    "?post=",
    "?post=%00&parent=x",
    "?post=/2007/10/opps.html&parent=-1",
    "?show=%FF",
    "?parent=" + "9" * 40,
]
FILE = b'--b\r\nContent-Disposition: form-data; name="email"; filename="a"\r\n\r\nx\r\n--b--\r\n'
BODIES = [
    (b"email=\xff\xfe%ff&csrf_token=\xff", "application/x-www-form-urlencoded"),
    (b"email=tess@example.com", "application/x-www-form-urlencoded; charset=latin-1"),
    (b"\x00" * 1000, "application/octet-stream"),
    (b"email", "multipart/form-data"),
    (b"--b\r\ngarbage", "multipart/form-data; boundary=b"),
    (FILE, "multipart/form-data; boundary=b"),
    (b"&".join(b"a=1" for _ in range(5000)), "application/x-www-form-urlencoded"),
    (b"[1]", "application/json"),
    (b'{"email": 5}', "application/json"),
    (b'{"email": {"a": []}}', "application/json"),
    (b"{]", "application/json"),
]
SUBSCRIPTION = SubscriptionRequest((Topic.NEWS,), Frequency.EACH)
POSTED_BY_LINK = "unsubscribe.unsubscribe"
STOPPED_BY_LINK = "own_comments.stop"


@pytest.fixture
def whole(make_settings: Callable[..., Settings], store: Store, clock: Clock, tmp_path: Path) -> Flask:
    """The app as `serve` runs it: with the site and the outbox."""
    (tmp_path / "output" / "2007").mkdir(parents=True)
    (tmp_path / "output" / "index.html").write_text("<!DOCTYPE html><title>Home</title>", encoding="utf-8")
    (tmp_path / "output" / "2007" / "index.html").write_text("<!DOCTYPE html><title>2007</title>", encoding="utf-8")
    (tmp_path / "output" / ".hidden").write_text("not to be seen", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("not to be seen", encoding="utf-8")
    assert clock.now() == OPPS_DAY
    # `testing` stays off: with it, a client gets the exception instead of the page.
    return create_app(make_settings(), store, Serving(loopback=True, workers=frozenset()))


def paths(rule: Rule, values: list[str]) -> Iterator[str]:
    """Return URLs of a route, one for each value of its arguments."""
    for value in values if rule.arguments else [""]:
        path = rule.rule
        for argument in rule.arguments:
            path = path.replace(f"<{argument}>", value).replace(f"<path:{argument}>", value)
        yield path


def rules(app: Flask, method: str) -> list[Rule]:
    """Return the routes that accept a method."""
    return [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]


def rows(store: Store) -> list[list[str]]:
    """Return every row of the store."""
    with store.reading() as session:
        return [sorted(repr(row) for row in session.execute(select(table))) for table in Base.metadata.sorted_tables]


def test_every_page_answers_any_arguments_with_security_headers(whole: Flask, store: Store) -> None:
    client = whole.test_client()
    before = rows(store)
    asked = 0
    for rule in rules(whole, "GET"):
        for path in paths(rule, VALUES):
            for query in QUERIES:
                answer = client.get(path + query, buffered=True)
                assert answer.status_code < 500, path + query
                for name in HEADERS:
                    assert name in answer.headers, (path + query, name)
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
                assert "not to be seen" not in answer.text
                asked += 1
        assert client.head(next(paths(rule, VALUES)), buffered=True).status_code < 500
    assert rows(store) == before
    assert asked > 300


def comment_link(desk: LetterContext, page: str, purpose: Purpose) -> str:
    """Return a link about the first followed comment."""
    return (
        f"{desk.settings.site_url}/feedback/comments/{page}/{desk.signer.sign(Claim(purpose, 1), now=OPPS_DAY, days=7)}"
    )


def address_link(desk: LetterContext, side: str, purpose: Purpose) -> str:
    """Return a link of the first change of address."""
    token = desk.signer.sign(Claim(purpose, 1), now=OPPS_DAY, days=7)
    return f"{desk.settings.site_url}/feedback/address/{side}/{token}"


def subscribe_link(desk: LetterContext, person: int) -> str:
    """A link that confirms a subscription."""
    token = desk.signer.sign(Claim(Purpose.SUBSCRIBE, person, SUBSCRIPTION.code), now=OPPS_DAY, days=7)
    return f"{desk.settings.site_url}/feedback/subscribe/{token}"


def test_every_post_needs_a_csrf_token_except_one_click_unsubscribe(
    whole: Flask, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    publish(store, OPPS)
    say(store, address=BOB.address, notify=True)
    waits = say(store, "This one waits.", moderation=Moderation.ALL)
    with store.writing() as session:
        request_confirmation(session, Address.parse(BOB.address), SUBSCRIPTION, asked_at=OPPS_DAY, now=OPPS_DAY)
        request_change(session, session.get_one(Customer, bob), Address.parse("robert@example.net"), now=OPPS_DAY)
    before = rows(store)
    links = {
        "preferences.centre": desk.preferences_link(bob, OPPS_DAY),
        "preferences.undo_last": desk.preferences_link(bob, OPPS_DAY) + "/undo",
        "own_data.erase": desk.preferences_link(bob, OPPS_DAY) + "/erase",
        "subscribe.confirm": subscribe_link(desk, bob),
        "address_change.ask": desk.preferences_link(bob, OPPS_DAY) + "/address",
        "address_change.from_old": address_link(desk, "old", Purpose.CHANGE_FROM),
        "address_change.to_new": address_link(desk, "new", Purpose.CHANGE_TO),
        "own_comments.confirm": comment_link(desk, "confirm", Purpose.CONFIRM_ANSWERS),
        STOPPED_BY_LINK: comment_link(desk, "stop", Purpose.STOP_ANSWERS),
        POSTED_BY_LINK: desk.unsubscribe_link(bob, Topic.SPECIALS, OPPS_DAY),
    }
    token = desk.signer.sign(Claim(Purpose.MODERATE, waits.id, 1), now=OPPS_DAY, days=7)
    links["letter_links.moderate"] = f"/feedback/moderate/{token}"
    links |= {f"moderation.{verb}": f"/feedback/admin/comments/{waits.id}/{verb}" for verb in ("edit", "answer")}
    links["posts.set_closing"] = "/feedback/admin/posts/close"
    links["security.two_factor_setup_validate"] = "/feedback/admin/second-factor/forged"
    links["security.wan_register_response"] = "/feedback/admin/passkeys/forged"
    links["security.wan_signin_response"] = "/feedback/admin/passkey/forged"
    links["security.wan_verify_response"] = "/feedback/admin/passkey-again/forged"
    fields = {"email": "eve@example.com", "author": "Eve", "body": "Hello.", "specials": "never", "news": "each"}
    posted = set()
    for rule in rules(whole, "POST"):
        if rule.endpoint in {POSTED_BY_LINK, STOPPED_BY_LINK}:
            continue
        path = links.get(rule.endpoint, rule.rule).removeprefix(desk.settings.site_url)
        assert "<" not in path, f"this test needs a good link for {rule.endpoint}"
        for more in ({}, {"csrf_token": "forged"}):
            answer = whole.test_client().post(path, data=fields | more)
            assert answer.status_code in {400, 404}, path
            posted.add(rule.endpoint)
    assert {"preferences.ask", "preferences.centre"} <= posted
    assert rows(store) == before
    for name in (POSTED_BY_LINK, STOPPED_BY_LINK):
        now = rows(store)
        out = links[name].removeprefix(desk.settings.site_url)
        assert whole.test_client().post(out).status_code == 200
        assert rows(store) != now


def test_no_page_accepts_another_method(whole: Flask) -> None:
    client = whole.test_client()
    for rule in whole.url_map.iter_rules():
        path = next(paths(rule, ["x"]))
        for method in {"POST", "PUT", "DELETE", "PATCH"} - (rule.methods or set()):
            answer = client.open(path, method=method)
            # Another route may accept the method at this URL.
            if answer.status_code == 405:
                assert "GET" in answer.headers["Allow"]
                if path.startswith(API_PREFIX):
                    assert answer.mimetype == "application/problem+json"
                else:
                    helps(answer.text, "Not this way")
            else:
                assert answer.status_code in {400, 404}, (path, method)


def helps(page: str, title: str) -> None:
    """Check that an error page says what happened and what to do, and links on."""
    html = BeautifulSoup(page, "html.parser")
    assert html.h1
    assert html.h1.get_text() == title
    assert html.main
    assert html.main.p
    assert html.main.select_one("a[href='/']")


def test_an_unknown_url_gets_a_helpful_page(client: FlaskClient) -> None:
    answer = client.get("/feedback/nothing")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (404, "no-store")
    helps(answer.text, "Nothing is here")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
def test_ten_megabytes_are_too_much(client: FlaskClient, store: Store, desk: LetterContext, content_type: str) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    before = rows(store)
    start = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n' if "multipart" in content_type else b"name="
    for link in (desk.preferences_link(bob, OPPS_DAY), desk.unsubscribe_link(bob, Topic.NEWS, OPPS_DAY)):
        path = link.removeprefix(desk.settings.site_url)
        answer = client.post(path, data=start + b"x" * 10_000_000, content_type=content_type)
        assert answer.status_code == 413
        helps(answer.text, "Too much at once")
    answer = client.post("/feedback/preferences", data=b"email=" + b"x" * MAX_BODY_BYTES, content_type=content_type)
    assert answer.status_code == 413
    assert rows(store) == before


def test_a_body_that_is_not_a_form_is_refused(whole: Flask, store: Store) -> None:
    before = rows(store)
    for body, content_type in BODIES:
        for path in ("/feedback/preferences", "/feedback/comments/new?post=/2007/10/opps.html"):
            answer = whole.test_client().post(path, data=body, content_type=content_type)
            assert answer.status_code in {400, 404}, (body[:50], content_type)
            assert "</html>" in answer.text
    assert rows(store) == before


def test_only_pages_of_the_site_are_served(whole: Flask) -> None:
    client = whole.test_client()
    for path, title in (("/", "Home"), ("/index.html", "Home"), ("/2007/", "2007"), ("/2007", "2007")):
        assert f"<title>{title}</title>" in client.get(path, buffered=True).text
    for path in ("/.hidden", "/2007/.hidden", "/../secret.txt", "/%2e%2e/secret.txt", "/2007/..%2f..%2fsecret.txt"):
        answer = client.get(path)
        assert answer.status_code == 404
        helps(answer.text, "Nothing is here")


# Health


def test_health_is_good_when_the_store_answers(client: FlaskClient) -> None:
    answer = client.get("/feedback/health")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "store": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers


def test_health_is_bad_when_a_worker_is_missing_or_silent(settings: Settings, store: Store, clock: Clock) -> None:
    app = create_app(settings, store, Serving(loopback=True, workers=frozenset({"mailer", "publisher"})))

    def status() -> int:
        return app.test_client().get("/feedback/health").status_code

    assert status() == 503
    for name, kind in (("mailer", WorkerKind.MAILER), ("publisher", WorkerKind.PUBLISHER)):
        with store.writing() as session:
            beat(session, name, kind, now=clock.now())
        assert status() == (503 if name == "mailer" else 200)
    clock.moment += PATIENCE + timedelta(seconds=1)
    assert status() == 503


@pytest.fixture
def broken(settings: Settings, store: Store, clock: Clock, backend: str, tmp_path: Path) -> Iterator[Flask]:
    """An app whose store has disappeared since it started."""
    assert clock.now() == OPPS_DAY
    (tmp_path / "noise.db").write_bytes(b"This is no database. " * 1000)
    gone = tmp_path / "noise.db" if backend == SQLITE else tmp_path
    url = f"sqlite:///{gone}" if backend == SQLITE else f"postgresql+psycopg://shop:geheim@/x?host={gone}"
    engine = make_engine(url)
    yield create_app(settings, Store(engine, store.info))
    engine.dispose()


def test_health_is_bad_when_the_store_does_not_answer(broken: Flask) -> None:
    answer = broken.test_client().get("/feedback/health")
    assert answer.status_code == 503
    assert answer.json == {"status": "unavailable", "store": "does not answer"}


def test_when_the_store_is_broken_the_page_says_so_and_no_link_is_logged(
    broken: Flask, desk: LetterContext, caplog: pytest.LogCaptureFixture
) -> None:
    link = desk.unsubscribe_link(1, Topic.SPECIALS, OPPS_DAY).removeprefix(desk.settings.site_url)
    answer = broken.test_client().post(link, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 500
    helps(answer.text, "Something broke")
    assert "unsubscribe.unsubscribe" in caplog.text
    assert link.rpartition("/")[2] not in caplog.text
    assert "geheim" not in caplog.text + answer.text
