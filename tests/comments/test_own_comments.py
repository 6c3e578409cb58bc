"""One's own comments: a quarter of an hour by the same browser, later by a link, and never somebody else's."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from feedback_app.app import create_app
from feedback_app.audit_log import Act, newest_lines
from feedback_app.comments.author_edits import change_comment, request_comments_link
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.comments.services import answer_as_owner, change_status
from feedback_app.comments.spam import akismet
from feedback_app.comments.spam.verdicts import CHANGED, Rules
from feedback_app.comments.threads.registry import find_thread
from feedback_app.config import Moderation, Settings
from feedback_app.customers.addresses import Address
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.security.tokens import Claim, Purpose
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comment_form import WORDS, comments_in, kept, opened, send, soup_of
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status, thread_of
from tests.support.databases import SQLITE
from tests.support.spam_service import spam_service

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

CHANGE = "/feedback/comments/change?comment={}"
DELETE = "/feedback/comments/delete?comment={}"


@pytest.fixture(autouse=True)
def _published(store: Store) -> None:
    publish(store, OPPS, BISCUIT)


def press(client: FlaskClient, url: str, **fields: str) -> str:
    """Open a page, fill in its form, send it; gives back the page that follows."""
    found = soup_of(client.get(url)).find("form")
    assert found, f"{url} has no form"
    token = opened(client)["csrf_token"]
    return client.post(url, data={"csrf_token": token} | fields).text


def last(store: Store) -> Comment:
    """The newest comment."""
    return comments_in(store)[-1]


def test_nora_changes_her_words_and_the_page_says_that_they_were_edited(client: FlaskClient, store: Store) -> None:
    page = client.get(send(client).headers["Location"])
    change = soup_of(page).find("a", string="Change it")
    assert change
    set_status(store, CommentStatus.APPROVED, last(store))
    assert "on the page in a moment" in press(client, CHANGE.format(1), body="Use **Bcc**, all of you.")
    comment = last(store)
    assert (comment.text, comment.edited_at) == ("Use **Bcc**, all of you.", OPPS_DAY)
    assert "<strong>Bcc</strong>" in comment.html


def test_nora_deletes_her_comment_and_the_words_are_gone(client: FlaskClient, store: Store) -> None:
    send(client)
    page = client.get(DELETE.format(1)).text
    assert WORDS in page
    assert last(store).status is CommentStatus.PENDING
    assert "is deleted" in press(client, DELETE.format(1))
    assert (last(store).status, last(store).text, last(store).html) == (CommentStatus.DELETED, "", "")
    assert client.get(DELETE.format(1)).status_code == 404


def test_after_fifteen_minutes_and_in_another_browser_it_is_nobodys_to_change(
    app: Flask, client: FlaskClient, store: Store, clock: Clock
) -> None:
    send(client)
    bob = app.test_client()
    token = opened(bob)["csrf_token"]
    for url in (CHANGE, DELETE):
        assert bob.get(url.format(1)).status_code == 404
        answer = bob.post(url.format(1), data={"csrf_token": token, "body": "Bob's long words"})
        assert answer.status_code == 404
    assert "Bob&#39;s long words" in bob.post(CHANGE.format(1), data={"body": "Bob's long words"}).text
    clock.advance(minutes=15)
    assert client.get(CHANGE.format(1)).status_code == 200
    clock.advance(seconds=1)
    assert client.get(CHANGE.format(1)).status_code == 404
    assert last(store).text == WORDS


@pytest.mark.parametrize("number", ["", "x", "-1", "0", "999", "2147483648", "9" * 40])
def test_a_number_that_is_no_comment_of_mine_leads_to_a_page_that_helps(client: FlaskClient, number: str) -> None:
    for url in (CHANGE, DELETE):
        answer = client.get(url.format(number))
        assert answer.status_code == 404
        assert "/feedback/comments/mine" in answer.text


def test_a_change_without_a_token_or_without_words_keeps_what_was_typed(client: FlaskClient, store: Store) -> None:
    send(client)
    answer = client.post(CHANGE.format(1), data={"body": "New words"})
    assert (answer.status_code, kept(answer)) == (400, "New words")
    assert "There is no comment left. To take it back, delete it" in press(client, CHANGE.format(1), body=" ")
    assert client.post(DELETE.format(1)).status_code == 400
    assert (last(store).text, last(store).status) == (WORDS, CommentStatus.PENDING)


def test_a_change_is_judged_like_a_comment(store: Store) -> None:
    for words, moderation, waits in (
        ("Write to bob@example.org", Moderation.NONE, True),
        ("Nothing wrong with this.", Moderation.NONE, False),
        ("Nothing wrong with this.", Moderation.ALL, True),
    ):
        comment = say(store, "Short.")
        with store.writing() as session:
            change_comment(session, session.get_one(Comment, comment.id), words, rules=Rules(moderation), now=OPPS_DAY)
        assert (last(store).status is CommentStatus.PENDING) == waits
        assert (CHANGED in last(store).reasons) == waits
        assert "bob@" not in last(store).text + last(store).html


def test_a_change_to_what_somebody_said_before_waits(store: Store) -> None:
    first = say(store, "Buy the best socks in town, here.")
    say(store, "Thank you!")
    comment = say(store, "Short.")
    for words, reasons in (
        # Many people say that.
        ("Thank you!", []),
        # One's own words, in other cases, are nobody else's.
        ("Buy other socks in some other town.", []),
        ("BUY other socks in some other town.", []),
        ("Buy the BEST socks in town, here.", [f"the same words as comment {first.id}", CHANGED]),
    ):
        with store.writing() as session:
            change_comment(
                session, session.get_one(Comment, comment.id), words, rules=Rules(Moderation.NONE), now=OPPS_DAY
            )
        assert (last(store).status is CommentStatus.PENDING) == bool(reasons)
        assert last(store).reasons == reasons


def test_a_spam_service_is_asked_about_a_change_too(
    make_settings: Callable[..., Settings], store: Store, clock: Clock
) -> None:
    asked: list[dict[str, list[str]]] = []
    assert clock
    with spam_service(b"true", asked) as url:
        client = create_app(make_settings(moderation="none", akismet_url=url), store).test_client()
        send(client)
        with store.writing() as session:
            change_status(session, [1], CommentStatus.APPROVED, now=OPPS_DAY)
        assert "service of somebody else" in client.get(CHANGE.format(1)).text
        press(client, CHANGE.format(1), body=WORDS)
        assert len(asked) == 1
        assert "wait for approval" in press(client, CHANGE.format(1), body="Buy these pills instead.")
    assert asked[1]["comment_content"] == ["Buy these pills instead."]
    assert last(store).reasons == [akismet.SPAM, CHANGED]


def test_who_changes_much_is_asked_to_wait_with_the_words_kept(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    send(client, email="nora@example.com")
    token = opened(client)["csrf_token"]

    def change(words: str, more: str = "") -> TestResponse:
        return client.post(CHANGE.format(1) + more, data={"csrf_token": token, "body": words})

    answers = [change(f"Words, number {number}.") for number in range(11)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert kept(answers[-1]) == "Words, number 10."
    assert answers[-1].headers["Retry-After"] == "60"
    assert last(store).text == "Words, number 9."
    customer = last(store).customer_id
    assert customer is not None
    # A link that is good is never turned away.
    assert change("By the link.", f"&by={link_to(desk, customer)}").status_code == 200


def test_what_readers_change_and_take_back_is_in_the_log_without_their_words(client: FlaskClient, store: Store) -> None:
    send(client, author="Zora")
    set_status(store, CommentStatus.APPROVED, last(store))
    press(client, CHANGE.format(1), body="Some new words.")
    press(client, CHANGE.format(1), body="Write to bob@example.org")
    press(client, DELETE.format(1))
    with store.reading() as session:
        lines = newest_lines(session)
    assert [(line.who, line.act, line.about, line.comment_id) for line in lines] == [
        ("a reader", Act.TAKEN_BACK, "their comment 1 on Opps!: its words are gone", 1),
        (
            "a reader",
            Act.CHANGED,
            "their comment 1 on Opps!: waits: there is an address in it; changed after it was approved",
            1,
        ),
        ("a reader", Act.CHANGED, "their comment 1 on Opps!: shown at once", 1),
    ]
    assert all(secret not in repr(vars(line)) for line in lines for secret in ("Zora", "new words", "bob@"))


def test_a_change_shows_in_the_thread_and_a_change_to_the_same_is_none(store: Store) -> None:
    comment = say(store, "Short.")
    before = thread_of(store).version
    for words, version in (("Short.", before), ("Longer.", before + 1)):
        with store.writing() as session:
            change_comment(
                session, session.get_one(Comment, comment.id), words, rules=Rules(Moderation.NONE), now=OPPS_DAY
            )
        assert thread_of(store).version == version


def test_a_browser_sees_only_its_own_of_the_last_minutes(app: Flask, client: FlaskClient, clock: Clock) -> None:
    send(client)
    page = client.get("/feedback/comments/mine").text
    assert WORDS in page
    assert WORDS not in app.test_client().get("/feedback/comments/mine").text
    clock.advance(minutes=16)
    assert WORDS not in client.get("/feedback/comments/mine").text


def link_to(desk: LetterContext, person: int) -> str:
    """The token of a link to somebody's comments."""
    return desk.signer.sign(Claim(Purpose.OWN_COMMENTS, person), now=OPPS_DAY, days=1)


def test_later_a_link_is_mailed_to_the_address_that_came_with_the_comment(
    app: Flask, client: FlaskClient, store: Store, clock: Clock
) -> None:
    send(client, email="nora@example.com")
    clock.advance(hours=3)
    stranger = app.test_client()
    for address in ("nobody@example.com", "NORA@example.com", "nora@example.com"):
        token = opened(stranger)["csrf_token"]
        answer = stranger.post("/feedback/comments/mine", data={"email": address, "csrf_token": token})
        assert answer.headers["Location"].endswith("/mine/asked")
    with store.reading() as session:
        asked = session.scalars(select(LetterRequest)).all()
    assert [(one.kind, one.customer_id) for one in asked] == [(LetterKind.OWN_COMMENTS, 1)]


def test_strangers_have_six_links_a_day_mailed_to_an_address_and_one_in_five_minutes(
    store: Store, clock: Clock
) -> None:
    say(store, address="nora@example.com")
    address = Address.parse("nora@example.com")

    def ask(*, sent: bool = True) -> bool:
        with store.writing() as session:
            asked = request_comments_link(session, address, now=clock.now(), quiet=True)
            if sent:
                session.execute(update(LetterRequest).values(sent_at=clock.now()))
        return asked

    assert ask()
    assert not ask()
    answers = []
    for _ in range(40):
        clock.advance(minutes=6)
        answers.append(ask())
    assert answers == [True] * 5 + [False] * 35
    clock.advance(days=1)
    assert ask(sent=False)
    # What still waits to be sent is enough.
    clock.advance(minutes=6)
    assert not ask()


def test_the_link_opens_the_comments_of_its_person_and_no_others(
    app: Flask, client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    nora = say(store, "Nora's words.", address="nora@example.com")
    bob = say(store, "Bob's words.", author="Bob", address="bob@example.org")
    clock.advance(hours=3)
    assert nora.customer_id is not None
    token = link_to(desk, nora.customer_id)
    page = client.get(f"/feedback/comments/yours/{token}").text
    assert "Nora&#39;s words." in page or "Nora's words." in page
    assert "Bob" not in page
    assert client.get(f"{CHANGE.format(bob.id)}&by={token}").status_code == 404
    assert "on the page" in press(client, f"{CHANGE.format(nora.id)}&by={token}", body="Other words of Nora's.")
    press(app.test_client(), f"{DELETE.format(nora.id)}&by={token}")
    assert [comment.status for comment in comments_in(store)] == [CommentStatus.DELETED, CommentStatus.APPROVED]


def test_a_link_for_another_purpose_or_another_day_opens_nothing(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    comment = say(store, address="nora@example.com")
    assert comment.customer_id is not None
    stale = link_to(desk, comment.customer_id)
    other = desk.signer.sign(Claim(Purpose.PREFERENCES, comment.customer_id), now=OPPS_DAY, days=30)
    clock.advance(days=3)
    for token in (stale, other, "x", ""):
        assert client.get(f"/feedback/comments/yours/{token}").status_code == 404
        assert client.get(f"{CHANGE.format(comment.id)}&by={token}").status_code == 404


def test_a_closed_post_shows_its_comments_and_takes_no_new_ones(
    client: FlaskClient, store: Store, clock: Clock
) -> None:
    form = opened(client)
    with store.writing() as session:
        thread = find_thread(session, OPPS.path)
        assert thread
        thread.closed_at = clock.now()
    answer = client.post(f"/feedback/comments/new?post={OPPS.path}", data=form | {"author": "Nora", "body": WORDS})
    assert (answer.status_code, WORDS in answer.text) == (403, True)
    assert comments_in(store) == []


def test_the_shops_own_answer_is_shown_at_once_and_marked(store: Store) -> None:
    question = say(store)
    with store.writing() as session:
        thread = find_thread(session, OPPS.path)
        assert thread
        answer = answer_as_owner(
            session, thread, author="Mongrel Socks", text="We *will*.", parent=question, now=OPPS_DAY
        )
    assert (answer.status, answer.by_owner, answer.parent_id) == (CommentStatus.APPROVED, True, question.id)
