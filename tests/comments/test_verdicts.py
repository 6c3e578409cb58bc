"""Why a comment waits: each reason kept for the owner, nothing thrown away, and work that settles what it can."""

import json
import re
from collections.abc import Callable
from types import SimpleNamespace

import altcha
import pytest
from bs4 import Tag
from flask import Flask
from flask.testing import FlaskClient

from feedback_app.app import create_app
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.comments.services import list_comments
from feedback_app.comments.spam import akismet, verdicts
from feedback_app.comments.spam.verdicts import Evidence, Rules, Verdict, judge_new, judge_text
from feedback_app.config import Moderation, Settings
from feedback_app.db.store import Store
from feedback_app.web.app_state import AppState
from feedback_app.web.rate_limits import client_network
from tests.support.clock import Clock
from tests.support.comment_form import FORM, WORDS, comments_in, kept, opened, send, soup_of
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status
from tests.support.databases import SQLITE
from tests.support.spam_service import spam_service

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

OPEN = {"moderation": "none"}


@pytest.fixture(autouse=True)
def _published(store: Store) -> None:
    publish(store, OPPS, BISCUIT)


@pytest.fixture
def make_client(make_settings: Callable[..., Settings], store: Store, clock: Clock) -> Callable[..., FlaskClient]:
    """Somebody's browser, at a shop with these settings."""
    assert clock
    return lambda **more: create_app(make_settings(**(OPEN | more)), store).test_client()


def send_slowly(client: FlaskClient, clock: Clock, **fields: str) -> None:
    """Fill in the form as a person does."""
    form = opened(client)
    clock.advance(minutes=1)
    assert send(client, **form | fields).status_code == 303


def reasons(store: Store) -> list[str]:
    """What is said against the last comment."""
    last = comments_in(store)[-1]
    assert (last.status is CommentStatus.PENDING) == bool(last.reasons)
    return last.reasons


def test_where_nobody_waits_a_comment_that_somebody_typed_is_shown(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    send_slowly(make_client(), clock)
    assert reasons(store) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"website": "https://spam.example"}, [verdicts.TRAPPED]),
        ({"body": "See https://a.example and bob@example.org"}, [verdicts.ADDRESS_IN_TEXT]),
        ({"body": " ".join(f"<https://{name}.example/>" for name in "abc")}, ["3 links"]),
        ({"body": "Cheap VIAGRA for all"}, ["on the shop's list: viagra"]),
        ({"author": "casino royal"}, ["on the shop's list: casino royal"]),
        ({"seal": ""}, [verdicts.NO_TIME]),
        ({"seal": "forged.forged"}, [verdicts.NO_TIME]),
    ],
)
def test_each_reason_for_waiting_is_kept_for_the_owner(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock, fields: dict[str, str], said: list[str]
) -> None:
    send_slowly(make_client(spam_words="viagra, casino royal"), clock, **fields)
    assert reasons(store) == said


def test_a_word_within_a_word_is_not_the_word(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    send_slowly(make_client(spam_words="ass"), clock, body="Pass me the classic socks.")
    assert reasons(store) == []


def test_a_form_that_was_sent_at_once_waits_and_one_that_lay_about_for_days_comes_back(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    client = make_client()
    send(client)
    assert reasons(store) == [verdicts.TOO_FAST]
    form = opened(client)
    clock.advance(days=2)
    answer = send(client, body="I was away.", **form)
    assert (answer.status_code, kept(answer)) == (400, "I was away.")
    assert len(comments_in(store)) == 1


def test_with_the_limits_off_a_form_has_no_time_and_nobody_posts_too_much(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    client = make_client(rate_limits="off")
    for number in range(40):
        assert send(client, body=f"Number {number} of many words.").status_code == 303
        assert reasons(store) == []
    form = opened(client)
    clock.advance(days=2)
    assert send(client, body="Late.", **form).status_code == 303


def test_the_same_words_again_wait_wherever_they_are_said(store: Store) -> None:
    first = say(store, "Buy the best socks in town, here.")
    again = say(store, "buy the BEST  socks in town, here.", post=BISCUIT.path)
    assert (again.status, again.reasons) == (CommentStatus.PENDING, [f"the same words as comment {first.id}"])
    assert say(store, "Thank you!").reasons == say(store, "Thank you!").reasons == []


def test_the_same_form_sent_twice_is_one_comment(client: FlaskClient, store: Store) -> None:
    form = opened(client)
    answers = [send(client, **form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert len(comments_in(store)) == 1
    send(client, **form | {"body": "Other words, typed after going back."})
    assert len(comments_in(store)) == 2


@pytest.mark.parametrize("status", [CommentStatus.REJECTED, CommentStatus.SPAM, CommentStatus.DELETED])
def test_a_form_that_is_sent_again_when_its_comment_is_gone_brings_it_anew(
    status: CommentStatus, client: FlaskClient, store: Store
) -> None:
    """Whoever goes back and sends it once more is told what is so: it waits."""
    form = opened(client)
    send(client, **form)
    [first] = comments_in(store)
    set_status(store, status, first)
    answers = [send(client, **form) for _ in range(2)]
    assert {answer.headers["Location"].partition("waits=")[2] for answer in answers} == {"yes"}
    [_, second] = comments_in(store)
    assert (second.status, second.text) == (CommentStatus.PENDING, first.text)
    assert verdicts.SENT_BEFORE in second.reasons


def test_moderation_is_a_reason_too(store: Store) -> None:
    said = {moderation: say(store, f"Hello {moderation}", moderation=moderation).reasons for moderation in Moderation}
    assert said == {
        Moderation.ALL: [verdicts.EVERY_ONE],
        Moderation.FIRST: [verdicts.FIRST_ONE],
        Moderation.NONE: [],
    }


def test_who_posts_much_is_suspicious_first_and_then_asked_to_wait_with_the_words_kept(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    client = make_client()
    answers = []
    for number in range(11):
        form = opened(client)
        clock.advance(minutes=1)
        answers.append(send(client, body=f"Number {number} of many words.", **form))
    said = [comment.reasons for comment in comments_in(store)]
    assert said == [[]] * 5 + [[verdicts.CROWDED]] * 5
    assert (answers[-1].status_code, kept(answers[-1])) == (429, "Number 10 of many words.")
    assert answers[-1].headers["Retry-After"] == "60"
    assert client.post(FORM, data=opened(client), environ_base={"REMOTE_ADDR": "203.0.113.9"}).status_code == 400


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2ff::9", "2001:db8:1:200::/56"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("", "unknown"),
    ],
)
def test_a_network_is_what_a_provider_gives_to_one_customer(
    make_client: Callable[..., FlaskClient], address: str, network: str
) -> None:
    with make_client().application.test_request_context(environ_base={"REMOTE_ADDR": address}):
        assert client_network() == network


def test_only_as_many_proxies_as_there_are_are_believed(make_client: Callable[..., FlaskClient]) -> None:
    def seen(proxies: str) -> str:
        app = make_client(proxies=proxies).application
        found = []
        app.before_request(lambda: found.append(client_network()))
        app.test_client().get("/feedback/health", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.9"})
        return str(found[0])

    assert (seen("0"), seen("1"), seen("2")) == ("127.0.0.0/24", "203.0.113.0/24", "198.51.100.0/24")


def test_a_counter_that_does_not_answer_turns_nobody_away(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    send_slowly(make_client(limits_url="redis://127.0.0.1:1/0"), clock)
    assert reasons(store) == []


# Work


def work_in(page: str) -> dict[str, object] | None:
    """The work that a page asks its browser for."""
    form = soup_of(SimpleNamespace(text=page)).select_one("[data-work]")  # type: ignore[arg-type]
    return json.loads(str(form["data-work"])) if isinstance(form, Tag) else None


def solve(challenge: dict[str, object]) -> str:
    """Do the work."""
    known = altcha.Challenge.from_dict(challenge)
    solution = altcha.solve_challenge(known)
    assert solution is not None
    return altcha.Payload(known, solution).to_base64()


def test_a_browser_that_works_for_its_comment_waits_no_more(
    make_client: Callable[..., FlaskClient], store: Store
) -> None:
    client = make_client()
    page = client.get(send(client).headers["Location"]).text
    challenge = work_in(page)
    assert challenge is not None
    token = opened(client)["csrf_token"]
    answer = client.post(f"/feedback/comments/work?post={OPPS.path}", data={"altcha": "bm8=", "csrf_token": token})
    assert answer.status_code == 400
    proof = {"altcha": solve(challenge), "csrf_token": token}
    stranger = make_client()
    stranger.post(
        f"/feedback/comments/work?post={OPPS.path}", data=proof | {"csrf_token": opened(stranger)["csrf_token"]}
    )
    assert comments_in(store)[0].status is CommentStatus.PENDING
    answer = client.post(f"/feedback/comments/work?post={OPPS.path}", data=proof)
    assert "being added" in client.get(answer.headers["Location"]).text
    [comment] = comments_in(store)
    assert (comment.status, comment.reasons) == (
        CommentStatus.APPROVED,
        [verdicts.TOO_FAST, verdicts.PROVEN],
    )


def test_work_is_good_for_an_hour_and_buys_no_approval_of_the_owners(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    client = make_client()
    challenge = work_in(client.get(send(client).headers["Location"]).text)
    assert challenge is not None
    clock.advance(hours=2)
    data = {"altcha": solve(challenge), "csrf_token": opened(client)["csrf_token"]}
    assert client.post(f"/feedback/comments/work?post={OPPS.path}", data=data).status_code == 400
    assert comments_in(store)[0].status is CommentStatus.PENDING
    careful = make_client(moderation="all")
    assert work_in(careful.get(send(careful, body="Other words, as fast.").headers["Location"]).text) is None


# A spam service, where the owner has chosen one


@pytest.mark.parametrize(("word", "said"), [(b"true", [akismet.SPAM]), (b"false", []), (b"what?", [akismet.SILENT])])
def test_a_spam_service_is_asked_where_the_owner_chose_one_and_never_told_the_address(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock, word: bytes, said: list[str]
) -> None:
    asked: list[dict[str, list[str]]] = []
    with spam_service(word, asked) as url:
        client = make_client(akismet_url=url)
        assert "service of somebody else" in client.get(FORM).text
        send_slowly(client, clock, email="nora@example.com")
    assert reasons(store) == said
    assert asked[0]["comment_content"] == [WORDS]
    assert asked[0]["api_key"] == ["geheim"]
    assert "nora@example.com" not in str(asked)


def test_a_spam_service_that_is_down_loses_no_comment(
    make_client: Callable[..., FlaskClient], store: Store, clock: Clock
) -> None:
    send_slowly(make_client(akismet_url="http://key@127.0.0.1:1"), clock)
    assert reasons(store) == [akismet.SILENT]


def test_nobody_elses_service_is_asked_unless_the_owner_says_so(make_client: Callable[..., FlaskClient]) -> None:
    assert "service of somebody else" not in make_client().get(FORM).text


def test_reasons_are_only_about_what_is_new(store: Store) -> None:
    first = say(store, moderation=Moderation.FIRST)
    set_status(store, CommentStatus.APPROVED, first)
    with store.reading() as session:
        found = judge_text(author="Nora", text="Other words.", html="<p>Other words.</p>", rules=Rules())
        verdict = judge_new(
            session, text_reasons=found, repeated=None, resent=False, rules=Rules(), evidence=Evidence([first.id])
        )
        assert verdict == Verdict(CommentStatus.APPROVED, [])
        kept_: list[Comment] = [comment for comment, _ in list_comments(session)]
    assert kept_[0].reasons == [verdicts.FIRST_ONE]


def test_a_network_is_counted_under_a_name_that_tells_nothing_and_is_another_one_tomorrow(
    app: Flask, clock: Clock
) -> None:
    def name_of(address: str) -> str:
        state: AppState = app.extensions["undisclosed"]
        with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
            return state.limits.client_network_hash()

    today = name_of("192.0.2.7")
    assert name_of("192.0.2.200") == today
    assert name_of("198.51.100.7") != today
    assert name_of("2001:db8::1") == name_of("2001:db8:0:1::9")
    assert re.fullmatch("[0-9a-f]{32}", today)
    clock.advance(days=1)
    assert name_of("192.0.2.7") != today
