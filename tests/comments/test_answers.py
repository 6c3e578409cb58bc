"""Being told about answers: asked for once, confirmed by its owner, as often as chosen, and stopped by one link."""

import re
from email import message_from_bytes, policy

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from feedback_app.comments.models import Comment, CommentStatus, Following, Notice
from feedback_app.config import Settings
from feedback_app.customers.consent import frequencies
from feedback_app.customers.models import Customer, Frequency, Topic
from feedback_app.db import Store
from feedback_app.mailing.letter import Letter
from feedback_app.mailing.messages import Desk
from feedback_app.mailing.outcomes import Answer, Outcome
from feedback_app.mailing.worker import MailWorker
from feedback_app.privacy.erasing import erase_customer
from tests.comments.talk import BISCUIT, OPPS, publish, say, set_status
from tests.comments.test_comment_form import opened, send
from tests.conftest import OPPS_DAY, Clock
from tests.support.people import ALICE, welcome

LINK = re.compile(r"http://127\.0\.0\.1:8000(/feedback/comments/\w+/[\w=-]+)")


class Postbox:
    """A transport that keeps what it is given, and can refuse once."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.busy = False

    def send(self, letter: Letter) -> Answer:
        if self.busy:
            self.busy = False
            return Answer(Outcome.DEFERRED, "try again")
        self.letters.append(letter)
        return Answer(Outcome.ACCEPTED, "taken")

    def text(self, number: int = -1) -> str:
        """What a letter says."""
        body = message_from_bytes(self.letters[number].data, policy=policy.default).get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    def link(self, page: str) -> str:
        """The path of the last letter's link to a page."""
        found = [path for path in LINK.findall(self.text()) if f"/{page}/" in path]
        assert found, self.text()
        return str(found[0])


@pytest.fixture
def post() -> Postbox:
    return Postbox()


@pytest.fixture
def worker(store: Store, settings: Settings, desk: Desk, post: Postbox) -> MailWorker:
    return MailWorker(store, settings, desk, post)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _published(store: Store, clock: Clock) -> None:
    assert clock
    publish(store, OPPS, BISCUIT)


def alice(store: Store, text: str = "How?", **more: object) -> Comment:
    """Alice asks something, and wants to hear the answer."""
    return say(store, text, author="Alice", address=ALICE.address, notify=True, **more)  # type: ignore[arg-type]


def say_yes(client: FlaskClient, worker: MailWorker, post: Postbox) -> None:
    """The owner of the address opens the letter and presses the button."""
    worker.work_once()
    link = post.link("confirm")
    assert client.get(link).status_code == 200
    answer = client.post(link, data={"csrf_token": opened(client)["csrf_token"]})
    assert "You will be told" in answer.text


def choice(store: Store) -> Frequency | None:
    """What is in force about answers, of the only customer."""
    with store.reading() as session:
        return frequencies(session, session.scalars(select(Customer)).one()).get(Topic.REPLIES)


def test_alice_confirms_is_told_about_an_answer_and_stops_it_for_this_post(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    assert choice(store) is Frequency.EACH
    say(store, "Like **this**, not bob@example.org.", author="Bob", parent=question)
    set_status(store, CommentStatus.APPROVED, *waiting(store))
    worker.work_once()
    assert len(post.letters) == 2
    assert "Bob wrote:" in post.text()
    assert "Like this, not …(at)…" in post.text()
    assert f"{OPPS.path}#comment-2" in post.text()
    stop = post.link("stop")
    assert f"<http://127.0.0.1:8000{stop}>" in post.letters[-1].data.decode()
    assert client.get(stop).status_code == 200
    client.head(stop)
    assert followings(store) == [True]
    assert "No more letters" in client.application.test_client().post(stop).text
    assert followings(store) == [False]
    say(store, "And this.", author="Bob", parent=question)
    worker.work_once()
    assert len(post.letters) == 2


def waiting(store: Store) -> list[Comment]:
    """What waits for the owner."""
    with store.reading() as session:
        return list(session.scalars(select(Comment).where(Comment.status == CommentStatus.PENDING)))


def followings(store: Store) -> list[bool]:
    """Which followings are in force."""
    with store.reading() as session:
        return [bool(one.confirmed_at and not one.stopped_at) for one in session.scalars(select(Following))]


def test_an_address_that_somebody_else_typed_gets_one_letter_and_never_another(
    worker: MailWorker, post: Postbox, store: Store, clock: Clock
) -> None:
    question = alice(store)
    for day in range(12):
        alice(store, f"Number {day}", post=(OPPS, BISCUIT)[day % 2].path)
        say(store, f"Answer {day}", author="Bob", parent=question)
        worker.work_once()
        clock.advance(days=1)
    assert len(post.letters) == 1
    assert post.letters[0].recipient == ALICE.address
    assert "say yes here" in post.text()
    assert "Alice" not in post.letters[0].data.decode()
    assert choice(store) is None


def test_opening_the_letters_link_confirms_nothing(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    alice(store)
    worker.work_once()
    link = post.link("confirm")
    client.get(link)
    client.head(link)
    assert client.post(link).status_code == 400
    assert client.get(link.replace("confirm", "stop")).status_code == 404
    assert followings(store) == [False]
    assert choice(store) is None


def test_an_answer_that_came_before_the_yes_is_told_after_it(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    say(store, "Quick!", author="Bob", parent=alice(store))
    say_yes(client, worker, post)
    worker.work_once()
    assert "Quick!" in post.text()


def test_the_browser_that_confirmed_is_asked_no_more_and_another_is(
    app: Flask, client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    alice(store)
    say_yes(client, worker, post)
    there = f"/feedback/comments/new?post={BISCUIT.path}"
    send(client, there, author="Alice", email=ALICE.address, notify="y", body="About the dog, then.")
    worker.work_once()
    assert (followings(store), len(post.letters)) == ([True, True], 1)
    mallory = app.test_client()
    send(mallory, author="Alice", email=ALICE.address, notify="y", body="I am not Alice at all.")
    assert followings(store) == [True, True]


def test_nobody_is_told_about_their_own_answer(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    alice(store, "I found it.", parent=question)
    say(store, "From the same browser, nameless.", parent=question, earlier=[question.id])
    worker.work_once()
    assert len(post.letters) == 1


def test_an_answer_to_somebody_else_is_not_told(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    alice(store)
    say_yes(client, worker, post)
    say(store, "To Bob.", author="Carol", parent=say(store, "On its own.", author="Bob"))
    worker.work_once()
    assert len(post.letters) == 1


@pytest.mark.parametrize("chosen", [(Frequency.WEEKLY, 7), (Frequency.MONTHLY, 28)])
def test_who_chose_weekly_or_monthly_gets_what_has_come_in_one_letter(
    client: FlaskClient, worker: MailWorker, store: Store, clock: Clock, chosen: tuple[Frequency, int]
) -> None:
    frequency, days = chosen
    post: Postbox = worker.transport  # type: ignore[assignment]
    question = alice(store)
    say_yes(client, worker, post)
    welcome(store, ALICE, now=OPPS_DAY, replies=frequency)
    say(store, "The first.", author="Bob", parent=question)
    worker.work_once()
    for number in range(3):
        say(store, f"Later {number}.", author="Bob", parent=question, now=clock.advance(days=1))
        worker.work_once()
    assert len(post.letters) == 2
    clock.advance(days=days - 3)
    worker.work_once()
    assert len(post.letters) == 3
    assert re.findall(r"Later \d", post.text()) == ["Later 0", "Later 1", "Later 2"]


def test_who_chose_never_is_told_nothing(client: FlaskClient, worker: MailWorker, post: Postbox, store: Store) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    welcome(store, ALICE, now=OPPS_DAY, replies=Frequency.NEVER)
    say(store, "Too late.", author="Bob", parent=question)
    worker.work_once()
    assert len(post.letters) == 1


def test_an_answer_is_told_once_even_if_it_is_taken_down_and_shown_again_and_not_while_it_is_down(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    answer = say(store, "Hm.", author="Bob", parent=question)
    set_status(store, CommentStatus.REJECTED, answer)
    worker.work_once()
    assert len(post.letters) == 1
    for _ in range(2):
        set_status(store, CommentStatus.REJECTED, answer)
        set_status(store, CommentStatus.APPROVED, answer)
        worker.work_once()
        assert len(post.letters) == 2


def test_a_letter_that_is_put_off_says_the_same_when_it_is_tried_again(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store, clock: Clock
) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    say(store, "Wait for it.", author="Bob", parent=question)
    post.busy = True
    worker.work_once()
    assert len(post.letters) == 1
    clock.advance(hours=1)
    worker.work_once()
    assert "Wait for it." in post.text()
    worker.work_once()
    assert len(post.letters) == 2


def test_who_is_erased_is_told_nothing_and_asked_nothing_again(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    say(store, "Hello?", author="Bob", parent=question)
    with store.writing() as session:
        erase_customer(session, session.scalars(select(Customer)).one(), now=OPPS_DAY)
    alice(store, "Not Alice.")
    worker.work_once()
    assert len(post.letters) == 1
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(Notice)) == 0


def test_the_tick_without_an_address_is_asked_about(client: FlaskClient) -> None:
    answer = send(client, notify="y")
    assert answer.status_code == 400
    assert "say to which address" in answer.text


def test_the_link_to_ones_own_comments_comes_by_mail(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store
) -> None:
    say(store, "Alice's own words.", author="Alice", address=ALICE.address)
    token = opened(client)["csrf_token"]
    client.post("/feedback/comments/mine", data={"email": ALICE.address, "csrf_token": token})
    worker.work_once()
    assert "own words" in client.get(post.link("yours")).text
