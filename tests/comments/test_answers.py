"""Being told about answers: asked for once, confirmed by its owner, as often as chosen, and stopped by one link."""

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from feedback_app.comments.models import Comment, CommentStatus, Following, Notice
from feedback_app.config import Settings
from feedback_app.customers.consent import frequencies
from feedback_app.customers.digest_schedule import next_digest
from feedback_app.customers.models import Customer, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.delivery.worker import MailWorker
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.privacy.erasing import erase_customer
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comment_form import opened, send
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status
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

    def rest(self) -> None:
        """There is nothing to close."""

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
def worker(store: Store, settings: Settings, desk: LetterContext, post: Postbox) -> MailWorker:
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


# Wednesday, the 10th of October, is when these tests begin.
MONDAY = datetime(2007, 10, 15, 8, tzinfo=UTC)
FIRST = datetime(2007, 11, 1, 8, tzinfo=UTC)


def look_until(worker: MailWorker, clock: Clock, until: datetime) -> list[datetime]:
    """A mailer that looks every quarter of an hour; returns when letters left."""
    post: Postbox = worker.transport  # type: ignore[assignment]
    left = []
    while clock.now() < until:
        before = len(post.letters)
        worker.work_once()
        left += [clock.now()] * (len(post.letters) - before)
        clock.moment = min(until, clock.now() + timedelta(minutes=15))
    return left


@pytest.mark.parametrize("chosen", [(Frequency.WEEKLY, MONDAY, 7), (Frequency.MONTHLY, FIRST, 30)])
def test_who_chose_weekly_or_monthly_gets_what_has_come_in_one_letter_on_the_day_that_their_page_names(
    client: FlaskClient, worker: MailWorker, store: Store, clock: Clock, chosen: tuple[Frequency, datetime, int]
) -> None:
    frequency, day, days = chosen
    post: Postbox = worker.transport  # type: ignore[assignment]
    question = alice(store)
    say_yes(client, worker, post)
    welcome(store, ALICE, now=OPPS_DAY, replies=frequency)
    assert next_digest(frequency, OPPS_DAY) == day
    for number in range(3):
        say(store, f"Answer {number}.", author="Bob", parent=question, now=clock.advance(days=1))
        worker.work_once()
    assert len(post.letters) == 1
    clock.moment = day - timedelta(seconds=1)
    worker.work_once()
    assert len(post.letters) == 1
    clock.moment = day
    worker.work_once()
    assert len(post.letters) == 2
    assert re.findall(r"Answer \d", post.text()) == ["Answer 0", "Answer 1", "Answer 2"]
    # What comes an hour later waits for the next one, as does a look that comes late itself.
    clock.advance(hours=1)
    say(store, "Answer 3.", author="Bob", parent=question, now=clock.now())
    worker.work_once()
    clock.moment = day + timedelta(days=days, seconds=-1)
    worker.work_once()
    assert len(post.letters) == 2
    clock.advance(hours=30)
    for _ in range(3):
        worker.work_once()
        clock.advance(hours=1)
    assert len(post.letters) == 3
    assert re.findall(r"Answer \d", post.text()) == ["Answer 3"]


def test_a_first_answer_waits_for_monday_too_and_comes_at_the_first_look_after_eight(
    client: FlaskClient, worker: MailWorker, store: Store, clock: Clock
) -> None:
    question = alice(store)
    say_yes(client, worker, worker.transport)  # type: ignore[arg-type]
    welcome(store, ALICE, now=OPPS_DAY, replies=Frequency.WEEKLY)
    say(store, "The first.", author="Bob", parent=question)
    clock.moment = MONDAY - timedelta(days=1, minutes=10)
    assert look_until(worker, clock, MONDAY + timedelta(days=1)) == [MONDAY + timedelta(minutes=5)]


@pytest.mark.parametrize(
    "choices",
    [
        (Frequency.WEEKLY, Frequency.EACH, None),
        (Frequency.MONTHLY, Frequency.EACH, None),
        (Frequency.MONTHLY, Frequency.WEEKLY, MONDAY + timedelta(days=7)),
        (Frequency.WEEKLY, Frequency.MONTHLY, FIRST),
        (Frequency.WEEKLY, Frequency.NEVER, "never"),
    ],
)
def test_another_choice_holds_at_once_for_what_waits_as_well(
    client: FlaskClient,
    worker: MailWorker,
    store: Store,
    clock: Clock,
    choices: tuple[Frequency, Frequency, datetime | str | None],
) -> None:
    before, after, when = choices
    post: Postbox = worker.transport  # type: ignore[assignment]
    question = alice(store)
    say_yes(client, worker, post)
    welcome(store, ALICE, now=OPPS_DAY, replies=before)
    # On a Tuesday, with an answer of that morning; for who wants a letter a month, of the week before.
    tuesday = MONDAY + timedelta(days=1)
    said_at = OPPS_DAY if before is Frequency.MONTHLY else tuesday
    say(store, "It waits.", author="Bob", parent=question, now=said_at)
    clock.moment = tuesday + timedelta(hours=1)
    worker.work_once()
    assert len(post.letters) == 1
    welcome(store, ALICE, now=clock.now(), replies=after)
    left = [] if when == "never" else [when or clock.now()]
    looks = [clock.now(), MONDAY + timedelta(days=7, seconds=-1), MONDAY + timedelta(days=7), FIRST - timedelta(days=1)]
    found = []
    for clock.moment in (*looks, FIRST, FIRST + timedelta(days=4), FIRST + timedelta(days=20)):
        count = len(post.letters)
        worker.work_once()
        found += [clock.now()] * (len(post.letters) - count)
    assert found == left
    assert not left or "It waits." in post.text()


def test_what_was_not_to_be_told_on_monday_waits_for_the_next_one_and_is_not_lost(
    client: FlaskClient, worker: MailWorker, store: Store, clock: Clock
) -> None:
    question = alice(store)
    say_yes(client, worker, worker.transport)  # type: ignore[arg-type]
    number = welcome(store, ALICE, now=OPPS_DAY, replies=Frequency.WEEKLY)
    taken_down = say(store, "Taken down, and shown again.", author="Bob", parent=question)
    set_status(store, CommentStatus.REJECTED, taken_down, now=OPPS_DAY)
    clock.moment = MONDAY + timedelta(hours=26)
    worker.work_once()
    set_status(store, CommentStatus.APPROVED, taken_down, now=clock.now())
    next_one = MONDAY + timedelta(days=7)
    assert look_until(worker, clock, next_one + timedelta(hours=1)) == [next_one]
    # A pause that goes on over a Monday.
    say(store, "In the pause.", author="Bob", parent=question, now=clock.now())
    with store.writing() as session:
        session.get_one(Customer, number).pause_until = (next_one + timedelta(days=9)).date()
    clock.moment = next_one + timedelta(days=7)
    assert look_until(worker, clock, next_one + timedelta(days=15)) == [next_one + timedelta(days=14)]


def test_a_yes_on_a_tuesday_after_a_choice_of_mondays_brings_the_answers_on_monday(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store, clock: Clock
) -> None:
    question = alice(store)
    worker.work_once()
    welcome(store, ALICE, now=OPPS_DAY, replies=Frequency.WEEKLY)
    say(store, "Before the yes.", author="Bob", parent=question)
    clock.moment = MONDAY + timedelta(days=1)
    say_yes(client, worker, post)
    next_one = MONDAY + timedelta(days=7)
    clock.moment = next_one - timedelta(hours=1)
    assert look_until(worker, clock, next_one + timedelta(hours=1)) == [next_one]
    assert "Before the yes." in post.text()


def test_a_letter_of_a_monday_that_is_put_off_comes_once_and_takes_nothing_with_it(
    client: FlaskClient, worker: MailWorker, post: Postbox, store: Store, clock: Clock
) -> None:
    question = alice(store)
    say_yes(client, worker, post)
    welcome(store, ALICE, now=OPPS_DAY, replies=Frequency.WEEKLY)
    say(store, "Of the first week.", author="Bob", parent=question)
    clock.moment, post.busy = MONDAY, True
    worker.work_once()
    say(store, "Of the second.", author="Bob", parent=question, now=clock.advance(minutes=1))
    next_one = MONDAY + timedelta(days=7)
    [retried, second] = look_until(worker, clock, next_one + timedelta(hours=1))
    assert (retried < MONDAY + timedelta(days=1), second) == (True, next_one + timedelta(minutes=1))
    assert "Of the first week." in post.text(-2)
    assert "second" not in post.text(-2)
    assert "first week" not in post.text(-1)


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
