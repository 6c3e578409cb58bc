"""Random requests to every URL in any order break no page.

A state machine over all routes: links that are good, of another purpose, of another day, cut and forged; forms with
their own token, with another form's, with none; posts that close and comments that go away meanwhile.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from feedback_app import clock as real_clock
from feedback_app.app import Serving, create_app
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.services import change_status
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.security.keys import signer
from feedback_app.security.tokens import Claim, Purpose
from feedback_app.web.headers import HEADERS
from tests.support.clock import OPPS_DAY
from tests.support.comments import BISCUIT, OPPS, publish, say
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.people import BOB, welcome

POSTS = [OPPS.path, BISCUIT.path, "/2007/10/none.html", "", "/", "\0", "\ud83e", "a" * 3000, "/2007/10/%00.html"]
NUMBERS = ["1", "2", "0", "-1", "99", "1e3", "٣", "9" * 15, "9" * 40, "", "x"]
LETTERS = st.text(st.characters(codec="utf-8"), max_size=40)
NASTY = [
    "\0",
    "\u202eevil",
    "Z\u0310\u0311\u0312\u0313\u0314" * 30,
    "> " * 3000 + "deep",
    "[" * 3000,
    "*" * 3000,
    "<script>alert(1)</script>",
    "nora@example.com",
    "=?utf-8?q?Bcc:?=",
    "\r\nBcc: nora@example.com",
    "2007-13-45",
    "9999-12-31",
    "0001-01-01",
]
WORDS = st.one_of(
    LETTERS,
    st.sampled_from(
        [*NASTY, *NUMBERS, "each", "never", "weekly", "html", "full", "first", "undisclosed", "preview", "post"]
    ),
)
# Every field name of the app, and an unknown one.
NAMES = [
    *("author", "email", "body", "notify", "seal", "website", "action", "altcha", "name", "name_display", "format"),
    *(
        "specials",
        "news",
        "replies",
        "pause_until",
        "language",
        "version",
        "csrf_token",
        "username",
        "password",
        "code",
    ),
    *("setup", "remember", "ids", "status", "List-Unsubscribe", "topic", "comments", "sure", "all", "strange"),
]
FIELDS = st.dictionaries(st.sampled_from(NAMES), WORDS, max_size=8)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "post": st.sampled_from(POSTS),
        "parent": st.sampled_from(NUMBERS),
        "waits": WORDS,
        "asked": WORDS,
        "show": WORDS,
        "status": WORDS,
        "q": WORDS,
        "before": st.sampled_from(NUMBERS),
        "page": st.sampled_from(NUMBERS),
    },
)
TOKEN = re.compile(r'name="(csrf_token|seal)"[^>]*value="([^"]+)"')


class Visitors(RuleBasedStateMachine):
    """A shop, two browsers and a clock."""

    @initialize()
    def open(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.now = OPPS_DAY + timedelta(days=60)
        self._clock, real_clock.now = real_clock.now, lambda: self.now
        values = {
            "INSTANCE": self._folder.name,
            "RATE_LIMITS": "off",
            "ADDRESS_KEY": ADDRESS_KEY,
            "SECRET_KEY": SECRET_KEY,
        }
        self.settings = load_settings(
            {f"UNDISCLOSED_{name}": value for name, value in values.items()}
            | {"UNDISCLOSED_OUTPUT": str(Path(self._folder.name) / "output")}
        )
        self.store = open_store(self.settings)
        publish(self.store, OPPS, BISCUIT)
        bob = welcome(self.store, BOB, now=OPPS_DAY)
        say(self.store, "Use Bcc.", address=BOB.address, notify=True)
        say(self.store, "About the dog.", post=BISCUIT.path)
        app = create_app(self.settings, self.store, Serving(loopback=True, workers=frozenset()))
        self.routes = [one for one in app.url_map.iter_rules() if one.methods]
        self.clients = [app.test_client(), app.test_client()]
        self.hidden: list[dict[str, str]] = [{}, {}]
        makes = signer(self.settings)
        self.links = [
            makes.sign(Claim(purpose, person, about), now=self.now + timedelta(days=days), days=7)
            for purpose in Purpose
            for person, about in ((bob, 0), (bob, 1), (1, 1), (999, 3))
            for days in (0, -30)
        ]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            real_clock.now = self._clock
            self.store.close()
            self._folder.cleanup()

    def address(self, one: Rule, argument: str) -> str:
        return re.sub(r"<(?:\w+:)?\w+>", lambda _: quote(argument, safe="", errors="replace"), one.rule)

    @rule(
        data=st.data(),
        who=st.sampled_from([0, 1]),
        query=QUERIES,
        fields=FIELDS,
        method=st.sampled_from(["GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "OPTIONS"]),
        tokens=st.sampled_from(["own", "own", "own", "other's", "none"]),
    )
    def asks(
        self,
        *,
        data: st.DataObject,
        who: int,
        query: dict[str, str],
        fields: dict[str, str],
        method: str,
        tokens: str,
    ) -> None:
        taking = [one for one in self.routes if method in (one.methods or ())] or self.routes
        one = data.draw(st.sampled_from(sorted(taking, key=lambda each: (each.rule, each.endpoint))))
        argument = (
            data.draw(st.one_of(st.sampled_from(self.links), st.sampled_from(NUMBERS), LETTERS))
            if one.arguments
            else ""
        )
        cut = data.draw(st.sampled_from([0, 0, 0, 0, 1])) if argument else 0
        path = self.address(one, argument[: len(argument) - cut] or "x")
        hidden = {"own": self.hidden[who], "other's": self.hidden[1 - who], "none": {}}[tokens]
        body = {name: value.encode("utf-8", "replace") for name, value in (fields | hidden).items()}
        clean = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
        answer = self.clients[who].open(
            path, method=method, query_string=clean, data=body if method in {"POST", "PUT"} else None, buffered=True
        )
        self.judge(answer, f"{method} {one.endpoint} {path} {query} {fields}")
        found = dict(TOKEN.findall(answer.text))
        self.hidden[who] |= found

    @rule(
        who=st.sampled_from([0, 1]),
        words=WORDS,
        post=st.sampled_from([OPPS.path, BISCUIT.path]),
        body=st.binary(max_size=60),
    )
    def opens_the_form_and_sends_it(self, *, who: int, words: str, post: str, body: bytes) -> None:
        url = f"/feedback/comments/new?post={post}"
        page = self.clients[who].get(url)
        self.judge(page, url)
        fields = {
            "author": words.encode("utf-8", "replace"),
            "body": body or b"Hello",
            **dict(TOKEN.findall(page.text)),
        }
        self.judge(self.clients[who].post(url, data=fields), f"{url} {fields}")

    def judge(self, answer: TestResponse, what: str) -> None:
        assert answer.status_code < 500, what
        assert set(HEADERS) <= set(answer.headers.keys()), what
        assert "unsafe" not in answer.headers["Content-Security-Policy"].replace("wasm-unsafe-eval", ""), what
        if "html" in answer.content_type and answer.text:
            assert "Traceback" not in answer.text, what
            assert "\0" not in answer.text, what

    @rule(minutes=st.sampled_from([1, 20, 60 * 25, 60 * 24 * 8]))
    def time_goes_by(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @precondition(lambda self: hasattr(self, "store"))
    @rule(number=st.integers(1, 6), status=st.sampled_from(list(CommentStatus)))
    def the_shop_decides(self, number: int, status: CommentStatus) -> None:
        with self.store.writing() as session:
            if session.get(Comment, number):
                change_status(session, [number], status, now=self.now)

    @rule(closed=st.booleans(), gone=st.booleans())
    def a_post_closes_or_goes(self, *, closed: bool, gone: bool) -> None:
        with self.store.writing() as session:
            thread = session.get_one(Thread, 1)
            thread.closed_at, thread.open = (self.now if closed else None), not gone


@contextmanager
def _restored() -> Iterator[None]:
    before = real_clock.now
    try:
        yield
    finally:
        real_clock.now = before


def _run(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    with _restored():
        run_state_machine_as_test(
            Visitors,
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks
            ),
        )


def test_no_sequence_of_requests_breaks_a_page() -> None:
    _run(4, 25)


@pytest.mark.slow
def test_no_long_sequence_of_requests_breaks_a_page() -> None:
    _run(25, 40)
