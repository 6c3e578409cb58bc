"""The form's page, as somebody's browser meets it."""

from collections.abc import Callable

import pytest
from bs4 import Tag
from flask import Flask
from flask.testing import FlaskClient

from feedback_app.app import create_app
from feedback_app.comments.models import CommentStatus
from feedback_app.config import Moderation, Settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import Preference
from feedback_app.customers.services import find_customer
from feedback_app.db.store import Store
from tests.support.clock import Clock
from tests.support.comment_form import FORM, WORDS, comments_in, kept, opened, send, soup_of, token_of
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status


@pytest.fixture(autouse=True)
def _published(store: Store) -> None:
    publish(store, OPPS, BISCUIT)


def test_nora_posts_a_comment_and_reads_that_it_waits(client: FlaskClient, store: Store) -> None:
    answer = send(client)
    assert answer.status_code == 303
    page = client.get(answer.headers["Location"])
    assert "waits for approval" in page.text
    [comment] = comments_in(store)
    assert (comment.author, comment.text, comment.status) == ("Nora", WORDS, CommentStatus.PENDING)


def test_nora_is_trusted_in_the_browser_whose_comment_was_approved(app: Flask, store: Store, clock: Clock) -> None:
    nora, bob = app.test_client(), app.test_client()
    send(nora)
    set_status(store, CommentStatus.APPROVED, *comments_in(store))
    form = opened(nora)
    clock.advance(minutes=1)
    answer = send(nora, body="And another thing about socks.", **form)
    assert "being added" in nora.get(answer.headers["Location"]).text
    send(bob)
    assert [comment.status for comment in comments_in(store)].count(CommentStatus.PENDING) == 1


def test_the_form_is_private_and_says_what_it_is_for(client: FlaskClient) -> None:
    answer = client.get(FORM)
    assert answer.headers["Cache-Control"] == "no-store"
    page = soup_of(answer)
    assert page.h1 is not None
    assert page.h1.get_text() == "Post a comment"
    assert [button.get_text() for button in page.find_all("button")] == ["Post", "Preview"]
    for name in ("author", "email", "body"):
        field = page.select_one(f"[name={name}]")
        assert isinstance(field, Tag)
        assert page.select_one(f"label[for={field['id']}]"), name


@pytest.mark.parametrize("token", ["", "made up", "IjEi.xxxx.yyyy"])
def test_a_form_without_its_own_token_keeps_the_words_and_stores_nothing(
    client: FlaskClient, store: Store, token: str
) -> None:
    client.get(FORM)
    answer = send(client, csrf_token=token)
    assert answer.status_code == 400
    assert kept(answer) == WORDS
    assert "send them again" in answer.text
    assert comments_in(store) == []


def test_somebody_elses_token_is_no_token_and_the_page_that_says_so_can_be_sent(app: Flask, store: Store) -> None:
    alice, mallory = app.test_client(), app.test_client()
    alice.get(FORM)
    answer = send(alice, csrf_token=token_of(mallory))
    assert (answer.status_code, kept(answer)) == (400, WORDS)
    assert comments_in(store) == []
    field = soup_of(answer).select_one("input[name=csrf_token]")
    assert isinstance(field, Tag)
    assert send(alice, csrf_token=str(field["value"])).status_code == 303


def test_a_browser_without_cookies_loses_no_word(app: Flask, store: Store) -> None:
    answer = app.test_client(use_cookies=False).post(FORM, data={"author": "Nora", "body": WORDS, "csrf_token": "x"})
    assert (answer.status_code, kept(answer)) == (400, WORDS)
    assert comments_in(store) == []


def test_a_preview_shows_the_gates_work_and_stores_nothing(client: FlaskClient, store: Store) -> None:
    answer = send(client, action="preview", body="**Bcc** <script>alert(1)</script>")
    preview = soup_of(answer).select_one(".preview")
    assert preview is not None
    assert "<strong>Bcc</strong> &lt;script&gt;" in str(preview)
    assert kept(answer) == "**Bcc** <script>alert(1)</script>"
    assert comments_in(store) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"author": ""}, "Say what you'd like to be called"),
        ({"author": "\N{ZERO WIDTH SPACE}"}, "Say what you'd like to be called"),
        ({"author": "x" * 81}, "at most 80 letters"),
        ({"author": "nora@example.com"}, "leave the address out"),
        ({"email": "nora"}, "an @ in it"),
        ({"email": "nora@"}, "leave it empty"),
        ({"email": f"{'x' * 400}@example.com"}, "too long"),
        ({"email": "nora@example.com\r\nBcc: bob@example.org"}, "leave it empty"),
    ],
)
def test_what_cannot_be_taken_is_said_and_the_words_are_kept(
    client: FlaskClient, store: Store, fields: dict[str, str], says: str
) -> None:
    answer = send(client, **fields)
    assert answer.status_code == 400
    assert send(client, action="preview", **fields).status_code == 400
    page = soup_of(answer)
    problem = page.select_one(".error")
    assert problem is not None
    assert says in problem.get_text()
    assert page.select_one("[aria-invalid=true]") is not None
    assert kept(answer) == WORDS
    assert comments_in(store) == []


@pytest.mark.parametrize("body", ["", "  \n ", "\0\0", "\N{ZERO WIDTH SPACE}", ">"])
def test_a_comment_with_nothing_to_see_is_none(client: FlaskClient, store: Store, body: str) -> None:
    answer = send(client, body=body)
    assert answer.status_code == 400
    assert "There is no comment yet" in answer.text
    assert comments_in(store) == []


def test_a_comment_that_is_too_long_comes_back_whole(client: FlaskClient, store: Store) -> None:
    answer = send(client, body="socks " * 2000)
    assert answer.status_code == 400
    assert "at most 10,000 letters" in answer.text
    assert len(kept(answer)) == 11_999
    assert comments_in(store) == []


def test_nuls_and_direction_overrides_are_taken_out(client: FlaskClient, store: Store) -> None:
    override = "\N{RIGHT-TO-LEFT OVERRIDE}"
    assert send(client, author=f"No\0ra{override}", body=f"so\0ck{override}s").status_code == 303
    [comment] = comments_in(store)
    assert (comment.author, comment.text) == ("Nora", "socks")


@pytest.mark.parametrize(
    "post", ["/2007/10/nothing.html", "", "/x%00y", "%FF", "https://evil.example/", "/" + "x" * 3000]
)
def test_a_post_that_is_none_gives_the_words_back(client: FlaskClient, store: Store, post: str) -> None:
    token = token_of(client)
    url = f"/feedback/comments/new?post={post}"
    assert client.get(url).status_code == 404
    answer = client.post(url, data={"author": "Nora", "body": WORDS, "csrf_token": token})
    assert answer.status_code == 404
    assert WORDS in answer.text
    assert comments_in(store) == []


def test_a_form_without_a_post_is_a_page_that_says_so(client: FlaskClient) -> None:
    assert client.get("/feedback/comments/new").status_code == 404
    assert client.get("/feedback/comments/received?post=/gone.html").status_code == 404


@pytest.mark.parametrize(
    "parent", ["999", "0", "-1", "x", "", "2147483648", "9" * 15, "9" * 99, "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_a_comment_that_cannot_be_answered_lets_the_words_stand_on_their_own(
    client: FlaskClient, store: Store, parent: str
) -> None:
    token = token_of(client)
    fields = {"author": "Nora", "body": WORDS, "csrf_token": token}
    answer = client.post(f"{FORM}&parent={parent}", data=fields)
    assert (answer.status_code, kept(answer)) == (404, WORDS)
    assert comments_in(store) == []
    form = soup_of(answer).find("form")
    assert isinstance(form, Tag)
    assert client.post(str(form["action"]), data=fields).status_code == 303
    [comment] = comments_in(store)
    assert comment.parent_id is None


def test_bob_answers_nora_and_sees_what_he_answers(client: FlaskClient, store: Store) -> None:
    nora = say(store, "Use **Bcc**.")
    url = f"{FORM}&parent={nora.id}"
    page = client.get(url).text
    assert "Answer Nora" in page
    assert "<strong>Bcc</strong>" in page
    assert send(client, url, author="Bob").status_code == 303
    assert comments_in(store)[-1].parent_id == nora.id


def test_nobody_answers_a_comment_of_another_post(client: FlaskClient, store: Store) -> None:
    elsewhere = say(store, "About the dog.", post=BISCUIT.path)
    answer = client.get(f"{FORM}&parent={elsewhere.id}")
    assert answer.status_code == 404
    assert "About the dog" not in answer.text


def test_a_comment_that_waits_is_shown_to_nobody_who_guesses_its_number(client: FlaskClient, store: Store) -> None:
    waiting = say(store, "A secret.", author="Mallory", moderation=Moderation.ALL)
    page = client.get(f"{FORM}&parent={waiting.id}").text
    assert "A secret" not in page
    assert "Mallory" not in page


def test_an_address_makes_a_customer_who_may_be_written_to_about_nothing(client: FlaskClient, store: Store) -> None:
    answer = send(client, email=" Nora@Example.com ")
    page = client.get(answer.headers["Location"]).text
    assert "example.com" not in (answer.text + answer.headers["Location"] + page).lower()
    with store.reading() as session:
        customer = find_customer(session, Address.parse("nora@example.com"))
        assert customer is not None
        assert customer.confirmed_at is None
        assert customer.name is None
        assert session.query(Preference).count() == 0
        [comment] = comments_in(store)
        assert comment.customer_id == customer.id


def test_without_an_address_there_is_no_customer(client: FlaskClient, store: Store) -> None:
    send(client)
    assert comments_in(store)[0].customer_id is None


def test_opening_the_page_changes_nothing(client: FlaskClient, store: Store) -> None:
    client.get(f"{FORM}&author=Nora&body=hello&action=post&email=nora@example.com")
    client.head(FORM)
    client.get(f"/feedback/comments/received?post={OPPS.path}&waits=no")
    assert comments_in(store) == []


def test_what_is_typed_is_never_markup_in_the_form(client: FlaskClient) -> None:
    evil = '"><script>alert(1)</script>'
    answer = send(client, action="preview", author=evil, body=f"</textarea>{evil}")
    assert [str(script) for script in soup_of(answer).find_all("script")] == [
        '<script defer="" src="/theme/js/comments.js"></script>'
    ]
    assert kept(answer) == f"</textarea>{evil}"


def test_with_moderation_all_even_the_trusted_wait(
    make_settings: Callable[..., Settings], store: Store, clock: object
) -> None:
    assert clock
    client = create_app(make_settings(moderation="all"), store).test_client()
    send(client)
    set_status(store, CommentStatus.APPROVED, *comments_in(store))
    send(client)
    assert comments_in(store)[-1].status is CommentStatus.PENDING


def test_a_comment_of_a_megabyte_is_refused_in_words(client: FlaskClient, store: Store) -> None:
    answer = send(client, body="socks " * 200_000)
    assert answer.status_code == 413
    assert soup_of(answer).h1 is not None
    assert comments_in(store) == []
