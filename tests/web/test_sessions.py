"""Sessions and open forms survive an upgrade: what an earlier version signed is still accepted."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner

from feedback_app.comments.spam.form_seal import opened_at, seal_form
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.security import keys
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comment_form import FORM, comments_in
from tests.support.comments import OPPS, publish, say
from tests.support.databases import SQLITE

# Signed by version 0.1 with the tests' keys, two minutes after OPPS_DAY, in a browser that had posted comment 1.
# Version 0.1 never compressed its payloads.
OLD_COOKIE = (
    "eyJjc3JmX3Rva2VuIjoiMjYwZWUzNDFlODQ4OWEwZGQ4ZjZiNWMzODA1YmUyM2NiZGUxNDI5MSIsImNvbW1lbnRzIjpbMV19"
    ".RwzWqA.2edslX3tiaU8YAMs3YqOiztglm0"
)
OLD_TOKEN = "IjI2MGVlMzQxZTg0ODlhMGRkOGY2YjVjMzgwNWJlMjNjYmRlMTQyOTEi.RwzW5A.HdtYjOkdnwjfZR0vYUxUkA3D7CM"
OLD_SEAL = "WzExOTIwMjM3ODAwMDAsImNNb2pJdFMwQ0p2WCJd.VKLOqCH1rhTYx3b48ta8B7sX0Ys"

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


@pytest.fixture(autouse=True)
def _signed_by_the_pinned_clock(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let cookies and tokens be signed and checked at the pinned time."""
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _signer: int(clock.now().timestamp()))


def test_a_session_and_a_form_of_an_earlier_version_are_accepted(
    client: FlaskClient, store: Store, clock: Clock
) -> None:
    publish(store, OPPS)
    assert say(store, "Use Bcc, friends.").id == 1
    clock.advance(minutes=3)
    client.set_cookie("undisclosed", OLD_COOKIE)
    fields = {"author": "Nora", "email": "", "body": "One sock is missing.", "action": "post"}
    answer = client.post(FORM, data=fields | {"csrf_token": OLD_TOKEN, "seal": OLD_SEAL})
    assert answer.status_code == 303
    assert [comment.text for comment in comments_in(store)] == ["Use Bcc, friends.", "One sock is missing."]
    # The session still knows that comment 1 is this browser's.
    assert client.get("/feedback/comments/change?comment=1").status_code == 200
    with client.session_transaction() as session:
        assert session["comments"] == [1, 2]


def test_a_seal_of_an_earlier_version_says_when_its_form_was_opened(settings: Settings) -> None:
    signer = keys.signer(settings)
    opened = opened_at(signer, OLD_SEAL)
    assert opened
    assert (opened - OPPS_DAY).total_seconds() == 120
    assert opened_at(signer, seal_form(signer, now=OPPS_DAY)) == OPPS_DAY
    assert opened_at(signer, OLD_SEAL[:-1] + "A") is None


def test_a_session_of_an_older_key_is_accepted_and_a_forged_one_is_not(app: Flask, store: Store, clock: Clock) -> None:
    publish(store, OPPS)
    say(store, "Use Bcc, friends.")
    clock.advance(minutes=3)
    old_key = str(app.config["SECRET_KEY"])

    def status(cookie: str, *, key: str, fallbacks: list[str]) -> int:
        app.config.update(SECRET_KEY=key, SECRET_KEY_FALLBACKS=fallbacks)
        client = app.test_client()
        client.set_cookie("undisclosed", cookie)
        return client.get("/feedback/comments/change?comment=1").status_code

    assert status(OLD_COOKIE, key="a new key", fallbacks=[old_key]) == 200
    assert status(OLD_COOKIE, key="a new key", fallbacks=[]) == 404
    assert status(OLD_COOKIE[:-1] + "A", key=old_key, fallbacks=[]) == 404


def test_a_session_ends_after_a_month(client: FlaskClient, store: Store, clock: Clock) -> None:
    publish(store, OPPS)
    say(store, "Use Bcc, friends.")
    client.set_cookie("undisclosed", OLD_COOKIE)
    clock.advance(days=32)
    client.get(FORM)
    with client.session_transaction() as session:
        assert "comments" not in session
