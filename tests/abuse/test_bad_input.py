"""Malformed forms: each gets a helpful page that keeps the words, and nothing wrong is stored."""

import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from feedback_app.app import MAX_BODY_BYTES
from feedback_app.comments.markup.sanitizer import LONGEST_TEXT, comment_html
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comment_form import FORM, WORDS, comments_in, kept, opened, send, soup_of, token_of
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status
from tests.support.databases import SQLITE

# Only what can be stored depends on the database.
ON_ONE = pytest.mark.parametrize("backend", [SQLITE], indirect=True)
MOST_SECONDS = 5.0


@pytest.fixture(autouse=True)
def _published(store: Store) -> None:
    publish(store, OPPS, BISCUIT)


def raw(client: FlaskClient, kind: str, author: bytes, body: bytes) -> TestResponse:
    """Send the form with given bytes: raw, percent-encoded, or in parts."""
    fields = {"author": author, "body": body, "email": b"", "action": b"post"}
    fields |= {name: value.encode() for name, value in opened(client).items()}
    if kind == "parts":
        head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        sent = [head % (name.encode(), value) for name, value in fields.items()]
        return client.post(FORM, data=b"".join([*sent, b"--b--\r\n"]), content_type="multipart/form-data; boundary=b")
    coded = {name: quote(value).encode() if kind == "percent-encoded" else value for name, value in fields.items()}
    data = b"&".join(name.encode() + b"=" + value for name, value in coded.items())
    return client.post(FORM, data=data, content_type="application/x-www-form-urlencoded")


KINDS = pytest.mark.parametrize("kind", ["as they are", "percent-encoded", "parts"])


@KINDS
def test_letters_that_are_not_utf_8_are_guessed_and_must_be_confirmed(
    client: FlaskClient, store: Store, kind: str
) -> None:
    words = "café, 5 €, “naïve”, ÿ and more"
    answer = raw(client, kind, "Zoë".encode("latin-1"), words.encode("cp1252"))
    assert (answer.status_code, kept(answer)) == (400, words)
    page = soup_of(answer)
    problems = [problem.get_text() for problem in page.select(".error")]
    assert len(problems) == 2
    assert "ë" in problems[0]
    assert all(letter in problems[1] for letter in "é€“ï”ÿ")
    assert comments_in(store) == []
    # The page can be sent again unchanged.
    typed = {
        str(field["name"]): str(field["value"])
        for field in page.select("#comment-form input[value]:not([type=checkbox])")
    }
    assert typed["author"] == "Zoë"
    assert client.post(FORM, data=typed | {"body": kept(answer), "action": "post"}).status_code == 303
    [comment] = comments_in(store)
    assert (comment.author, comment.text) == ("Zoë", words)


@KINDS
def test_only_the_bytes_that_are_not_utf_8_are_guessed(client: FlaskClient, store: Store, kind: str) -> None:
    answer = raw(client, kind, "Zoë".encode(), "Socks 🧦 and café".encode() + b" \xff\x81 and more")
    assert (answer.status_code, kept(answer)) == (400, "Socks 🧦 and café ÿ\ufffd and more")
    [problem] = [problem.get_text() for problem in soup_of(answer).select(".error")]
    assert "ÿ, \ufffd" in problem
    assert "é" not in problem
    assert comments_in(store) == []


@KINDS
def test_utf_8_is_not_guessed(client: FlaskClient, store: Store, kind: str) -> None:
    assert raw(client, kind, "Zoë".encode(), "Socks 🧦, and café".encode()).status_code == 303
    assert comments_in(store)[0].author == "Zoë"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="body"\r\n\r\nMy words, cut'),
        ("multipart/form-data", b"body=My words"),
        ("application/json", b'{"author": "Nora", "body": "My words"}'),
        ("application/x-www-form-urlencoded", b""),
    ],
)
def test_an_unreadable_form_is_not_answered_as_if_its_words_were_kept(
    client: FlaskClient, store: Store, kind: str, body: bytes
) -> None:
    send(client)
    for url in (FORM, "/feedback/comments/change?comment=1", "/feedback/comments/mine"):
        answer = client.post(url, data=body, content_type=kind)
        assert answer.status_code == 400
        assert "Nothing of what you sent could be read" in answer.text
        assert "are still here" not in answer.text
    [comment] = comments_in(store)
    assert comment.text == WORDS


def test_characters_that_a_database_may_refuse_are_removed(client: FlaskClient, store: Store) -> None:
    towers = "Z" + "\u0310\u0489" * 200 + "algo"
    assert send(client, author="No\0ra\u202e", body=f"So\0cks \u2066back\u2069 {towers} 🧦").status_code == 303
    [comment] = comments_in(store)
    assert comment.author == "Nora"
    assert comment.text.startswith("Socks back Z")
    assert len(comment.text) < 40


DEEP = {
    "quotes": "> " * 4_900 + "deep",
    "quotes, a line each": "\n".join(">" * depth + " x" for depth in range(1, 130)),
    "lists": "\n".join(" " * depth + "- x" for depth in range(130)),
    "brackets": "[" * 5_000 + "]" * 4_999,
    "links": "[a](" * 2_400,
    "stars": "*a " * 3_300,
    "stars and lines": "***" * 1_000 + "___" * 1_000 + "a" * 1_000,
    "ticks": "`" * 4_999 + " " + "`" * 4_998,
    "entities": "&amp;" * 1_900,
    "entities of entities": "&" + "amp;" * 2_400 + "lt;",
    "ends of tags": "<" * 9_900,
    "at signs": "a@" * 4_900,
    "blanks": "a" + " \n" * 4_900 + "b",
    "backslashes": "\\" * 9_999,
}


@pytest.mark.parametrize("what", DEEP)
@ON_ONE
def test_markdown_made_to_be_slow_is_fast(client: FlaskClient, store: Store, what: str) -> None:
    assert len(DEEP[what]) <= LONGEST_TEXT
    started = time.process_time()
    answer = send(client, body=DEEP[what])
    comment_html.cache_clear()
    # CPU seconds, a hundred times what it takes: a parser that backtracks would need hours.
    assert time.process_time() - started < MOST_SECONDS
    assert answer.status_code in {303, 400}
    assert len(comments_in(store)) == (1 if answer.status_code == 303 else 0)


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000])
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
@ON_ONE
def test_a_body_that_is_too_large_is_refused_with_a_page(
    client: FlaskClient, store: Store, size: int, kind: str
) -> None:
    start = b'--b\r\nContent-Disposition: form-data; name="body"\r\n\r\n' if "multipart" in kind else b"body="
    answer = client.post(FORM, data=start + b"x" * size, content_type=kind)
    assert answer.status_code == 413
    assert "shorten it" in answer.text
    assert comments_in(store) == []


GONE: dict[str, Callable[[Store], Comment]] = {
    "of another post": lambda store: say(store, "About the dog.", post=BISCUIT.path),
    "rejected": lambda store: _with_status(store, CommentStatus.REJECTED),
    "spam": lambda store: _with_status(store, CommentStatus.SPAM),
    "deleted": lambda store: _with_status(store, CommentStatus.DELETED),
    "waiting": lambda store: _with_status(store, CommentStatus.PENDING),
}


def _with_status(store: Store, status: CommentStatus) -> Comment:
    comment = say(store, "Use Bcc.")
    set_status(store, status, comment)
    return comment


@pytest.mark.parametrize("which", GONE)
@ON_ONE
def test_an_answer_to_a_hidden_comment_keeps_the_words(client: FlaskClient, store: Store, which: str) -> None:
    number = GONE[which](store).id
    before = len(comments_in(store))
    answer = client.post(
        f"{FORM}&parent={number}", data={"author": "Nora", "body": WORDS, "csrf_token": token_of(client)}
    )
    assert (answer.status_code, kept(answer)) == (404, WORDS)
    assert len(comments_in(store)) == before


@ON_ONE
def test_a_post_that_closed_during_typing_gives_the_words_back(client: FlaskClient, store: Store, clock: Clock) -> None:
    fields = {"author": "Nora", "body": WORDS, "action": "post"} | opened(client)
    with store.writing() as session:
        session.get_one(Thread, 1).closed_at = clock.now()
    answer = client.post(FORM, data=fields)
    assert answer.status_code == 403
    assert WORDS in answer.text
    publish(store, BISCUIT)
    answer = client.post(FORM, data=fields)
    assert answer.status_code == 404
    assert WORDS in answer.text
    assert comments_in(store) == []


@ON_ONE
def test_a_form_of_yesterday_comes_back_with_its_words_and_can_be_sent(
    client: FlaskClient, store: Store, clock: Clock
) -> None:
    fields = {"author": "Nora", "body": WORDS, "action": "post"} | opened(client)
    clock.advance(hours=25)
    assert clock.now() - OPPS_DAY > timedelta(days=1)
    answer = client.post(FORM, data=fields)
    assert (answer.status_code, kept(answer)) == (400, WORDS)
    assert comments_in(store) == []
    assert send(client).status_code == 303


@ON_ONE
def test_the_same_form_sent_again_and_again_is_one_comment(client: FlaskClient, store: Store) -> None:
    fields = {"author": "Nora", "body": WORDS, "action": "post"} | opened(client)
    answers = [client.post(FORM, data=fields) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {303}
    assert len(comments_in(store)) == 1
