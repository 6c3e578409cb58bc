"""The preference centre: saving and undoing, what is held, erasing, and fewer letters."""

import json
from datetime import date, timedelta

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.customers.addresses import Address
from feedback_app.customers.digest_schedule import last_digest, next_digest
from feedback_app.customers.models import (
    ConsentChannel,
    ConsentEvent,
    Customer,
    Frequency,
    LetterFormat,
    NameDisplay,
    Suppression,
    SuppressionReason,
    Undo,
)
from feedback_app.customers.services import find_customer, name_of, suppression_of
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing, MailingState
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import SQLITE
from tests.support.people import ALICE, BOB, customer_of, welcome
from tests.support.preference_pages import (
    NOTHING_CHOSEN,
    ONE_CLICK,
    centre,
    choices_of,
    record_of,
    rows,
    send,
    told,
    unsubscribe_path,
)

FIRST_DAY = "on the first of every month"


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


def comment_of(store: Store, person: int) -> None:
    """Add a comment of a customer's under a post."""
    with store.writing() as session:
        thread = Thread(path="/2007/10/opps.html", title="Opps", published_at=OPPS_DAY, open=True, version=1)
        session.add(thread)
        session.flush()
        session.add(
            Comment(
                thread_id=thread.id,
                customer_id=person,
                author="Bobby",
                text="Lovely",
                html="<p>Lovely</p>",
                rules=1,
                status=CommentStatus.APPROVED,
                created_at=OPPS_DAY,
                changed_at=OPPS_DAY,
            )
        )


def undo(client: FlaskClient, desk: LetterContext, person: int) -> str:
    """Press the button that undoes the last save; return what the page says."""
    page = BeautifulSoup(client.get(centre(desk, person)).text, "html.parser")
    token = page.select_one("form[action$='/undo'] [name=csrf_token]")
    assert token, "there is nothing to undo"
    return told(client.post(f"{centre(desk, person)}/undo", data={"csrf_token": str(token["value"])}))


# Saving


def test_saving_says_what_changed_and_what_comes_next(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    fields = {"specials": "weekly", "news": "monthly", "format": "text", "name": BOB.name, "pause_until": "2007-12-24"}
    answer = send(client, centre(desk, bob), NOTHING_CHOSEN | fields)
    changed, coming = BeautifulSoup(answer.text, "html.parser").select("main ul")
    assert [line.get_text() for line in changed.select("li")] == [
        "Offers: weekly, in one letter (it was: each time).",
        "News from the blog: monthly, in one letter (it was: never).",
        "How letters look: plain text (it was: with colours and links (HTML)).",
        "Pause: until 24 December 2007 (it was: none).",
    ]
    assert [line.get_text() for line in coming.select("li")] == [
        "Until 24 December 2007 we write nothing. After that:",
        "Offers: what there is, in one letter every Monday; the next one on 15 October 2007.",
        f"News from the blog: what there is, in one letter {FIRST_DAY}; the next one on 1 November 2007.",
        "Answers to your comments: no letters.",
    ]


def test_a_save_can_be_undone_with_everything_that_it_changed(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FIRST, specials=Frequency.EACH, news=Frequency.WEEKLY)
    fields = {"name": "Robert", "format": "text", "name_display": "full", "pause_until": "2007-12-24"}
    send(client, centre(desk, bob), NOTHING_CHOSEN | fields)
    clock.advance(hours=23)
    said = undo(client, desk, bob)
    assert "as it was before" in said
    assert "Offers: each time (it was: never)" in said
    assert choices_of(store, bob) == {
        Topic.SPECIALS: Frequency.EACH,
        Topic.NEWS: Frequency.WEEKLY,
        Topic.REPLIES: Frequency.NEVER,
    }
    customer = customer_of(store, bob)
    assert (customer.format, customer.name_display) == (LetterFormat.HTML, NameDisplay.FIRST)
    assert customer.pause_until is None
    with store.reading() as session:
        assert name_of(session, customer) == BOB.name
    # Undoing is a choice like any other, with its lines in the record.
    assert [event.frequency for event in record_of(store, bob)][-2:] == [Frequency.EACH, Frequency.WEEKLY]


def test_undoing_a_yes_restores_the_suppression_it_had_lifted(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    with store.writing() as session:
        fingerprint = session.get_one(Customer, bob).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=SuppressionReason.COMPLAINED, at=OPPS_DAY))
    send(client, centre(desk, bob), NOTHING_CHOSEN | {"news": "each"})
    with store.reading() as session:
        assert suppression_of(session, Address.parse(BOB.address)) is None
    undo(client, desk, bob)
    with store.reading() as session:
        back = suppression_of(session, Address.parse(BOB.address))
        assert back
        assert (back.reason, back.at) == (SuppressionReason.COMPLAINED, OPPS_DAY)


@pytest.mark.parametrize("why", ["too late", "something else was chosen since", "undone already", "nothing was saved"])
def test_an_undo_that_comes_too_late_changes_nothing(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock, why: str
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    if why != "nothing was saved":
        send(client, centre(desk, bob), NOTHING_CHOSEN | {"news": "each"})
    page = BeautifulSoup(client.get(centre(desk, bob)).text, "html.parser")
    token = page.select_one("form [name=csrf_token]")
    assert token
    match why:
        case "too late":
            clock.advance(days=1, seconds=1)
        case "something else was chosen since":
            client.post(unsubscribe_path(desk, bob, Topic.NEWS), data=ONE_CLICK)
        case "undone already":
            undo(client, desk, bob)
    before = rows(store)
    assert not BeautifulSoup(client.get(centre(desk, bob)).text, "html.parser").select("form[action$='/undo']")
    answer = client.post(f"{centre(desk, bob)}/undo", data={"csrf_token": str(token["value"])})
    assert answer.status_code == 409
    assert "can't be undone any more" in told(answer)
    assert rows(store) == before


def test_undoing_from_another_page_changes_nothing(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    send(client, centre(desk, bob), NOTHING_CHOSEN)
    before = rows(store)
    answer = client.post(f"{centre(desk, bob)}/undo", data={"csrf_token": "forged"})
    assert answer.status_code == 400
    assert "once more" in told(answer)
    assert rows(store) == before


def test_the_earlier_name_is_sealed_for_its_customer(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    send(client, centre(desk, bob), NOTHING_CHOSEN | {"name": "Robert"})
    with store.reading() as session:
        kept = session.get_one(Undo, bob)
        assert kept.name
        assert BOB.name.encode() not in kept.name
        assert BOB.name not in kept.choices


# Two tabs


def test_an_older_tab_is_shown_newer_choices_before_it_can_overrule_them(
    app: Flask, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    client = app.test_client()

    def opened() -> dict[str, str]:
        page = BeautifulSoup(client.get(centre(desk, bob)).text, "html.parser")
        return {
            name: str(field["value"])
            for name in ("csrf_token", "seen")
            if (field := page.select_one(f"form [name={name}]"))
        }

    old_tab = opened()
    # An unsubscribe link says no; the tab that was opened before still says yes.
    client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    stale = NOTHING_CHOSEN | {"specials": "each", "name": "Bobby"}
    before = rows(store)
    answer = client.post(centre(desk, bob), data=stale | old_tab)
    assert answer.status_code == 409
    assert rows(store) == before
    said = told(answer)
    assert "nothing is saved yet" in said
    assert "Offers: never (it was: each time)." in said
    page = BeautifulSoup(answer.text, "html.parser")
    assert page.select_one("[name=specials][value=each][checked]")
    assert page.select_one("#name[value=Bobby]")
    # After that page, the same choices can be saved.
    again = {name: str(page.select_one(f"form [name={name}]")["value"]) for name in old_tab}  # type: ignore[index]
    assert client.post(centre(desk, bob), data=stale | again).status_code == 200
    assert choices_of(store, bob)[Topic.SPECIALS] is Frequency.EACH


def test_two_tabs_with_the_same_choices_do_not_disturb_each_other(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    page = BeautifulSoup(client.get(centre(desk, bob)).text, "html.parser")
    fields = {str(field["name"]): str(field["value"]) for field in page.select("form[action] input[type=hidden]")}
    for _ in range(2):
        answer = client.post(centre(desk, bob), data=NOTHING_CHOSEN | {"news": "each", "name": BOB.name} | fields)
        assert answer.status_code == 200


# What is held


def test_the_history_says_what_was_chosen_when_and_how(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    clock.advance(days=2)
    client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    page = BeautifulSoup(client.get(f"{centre(desk, bob)}/history").text, "html.parser")
    lines = [" ".join(line.get_text().split()) for line in page.select("ol li")]
    assert len(lines) == len(record_of(store, bob)) == 2
    assert "12 October 2007, 13:41 UTC: offers, never" in lines[0]
    assert "your mail program's button" in lines[0]
    assert "10 October 2007, 13:41 UTC: offers, each time" in lines[1]
    assert "your page of choices" in lines[1]
    assert "Offers: you may write to me when" in lines[1]


def test_sent_letters_are_listed_with_their_results(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with store.writing() as session:
        for number, (person, state, reason) in enumerate(
            [
                (bob, DeliveryState.ACCEPTED, None),
                (bob, DeliveryState.SKIPPED, "the customer has paused all letters"),
                (alice, DeliveryState.ACCEPTED, None),
            ]
        ):
            mailing = Mailing(
                slug=f"m{number}",
                topic=Topic.SPECIALS,
                subject=f"Socks {number}",
                nameless="friend",
                body="Hello",
                state=MailingState.SENT,
                created_at=OPPS_DAY,
                due_at=OPPS_DAY,
            )
            session.add(mailing)
            session.flush()
            moment = OPPS_DAY + timedelta(days=number)
            session.add(
                Delivery(mailing_id=mailing.id, customer_id=person, state=state, reason=reason, changed_at=moment)
            )
    page = BeautifulSoup(client.get(f"{centre(desk, bob)}/letters").text, "html.parser")
    assert [" ".join(line.get_text().split()) for line in page.select(".record li")] == [
        "11 October 2007: Socks 1 (offers). Not sent: the customer has paused all letters.",
        "10 October 2007: Socks 0 (offers). Sent; your mail server took it.",
    ]


def test_everything_held_can_be_downloaded_at_once(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    comment_of(store, bob)
    answer = client.get(f"{centre(desk, bob)}/data.json")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Cache-Control"] == "no-store"
    held = json.loads(answer.text)
    assert held["person"]["data"]["address"] == BOB.address
    assert held["choices"]["data"]["specials"] == "each"
    assert held["comments"]["data"][0]["text"] == "Lovely"


# Erasing


@pytest.mark.parametrize("fate", ["nameless", "deleted"])
def test_a_customer_is_erased_with_the_comments_as_they_choose(
    client: FlaskClient, store: Store, desk: LetterContext, fate: str
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    comment_of(store, bob)
    page = BeautifulSoup(client.get(f"{centre(desk, bob)}/erase").text, "html.parser")
    assert len(page.select("main ol li")) == 3
    answer = send(client, f"{centre(desk, bob)}/erase", {"comments": fate})
    assert "You are erased" in answer.text
    with store.reading() as session:
        assert find_customer(session, Address.parse(BOB.address)) is None
        assert session.get(Customer, alice)
        [comment] = session.scalars(select(Comment))
        assert (comment.customer_id, comment.author) == (None, "undisclosed")
        assert (comment.status is CommentStatus.DELETED) == (fate == "deleted")
        assert bool(comment.text) == (fate == "nameless")
        lines = session.scalars(select(ConsentEvent).where(ConsentEvent.customer_id == bob))
        assert [line.channel for line in lines][-1] is ConsentChannel.ERASURE
    for more in ("", "/history", "/letters", "/data.json", "/erase"):
        assert client.get(centre(desk, bob) + more).status_code == 404


def test_a_forged_or_invalid_form_erases_nobody(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    path = f"{centre(desk, bob)}/erase"
    assert client.post(path, data={"comments": "deleted", "csrf_token": "forged"}).status_code == 400
    assert send(client, path, {"comments": "sold"}).status_code == 400
    assert rows(store) == before


def test_the_pages_of_a_centre_open_only_by_its_own_link(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    out = unsubscribe_path(desk, bob).rpartition("/")[2]
    pages = ("", "/history", "/letters", "/data.json", "/erase")
    for token in (out, "forged", centre(desk, bob)[:-1].rpartition("/")[2]):
        for more in pages:
            assert client.get(f"/feedback/preferences/{token}{more}").status_code == 404
    clock.advance(days=31)
    for more in pages:
        assert client.get(centre(desk, bob) + more).status_code == 404


# Less often, or nothing at all


@pytest.mark.parametrize(
    ("had", "instead", "then"),
    [
        (Frequency.EACH, "weekly", Frequency.WEEKLY),
        (Frequency.EACH, "monthly", Frequency.MONTHLY),
        (Frequency.WEEKLY, "monthly", Frequency.MONTHLY),
        (Frequency.WEEKLY, "weekly", Frequency.WEEKLY),
        # The link can only reduce letters.
        (Frequency.MONTHLY, "weekly", Frequency.NEVER),
        (Frequency.NEVER, "weekly", Frequency.NEVER),
        (Frequency.EACH, "each", Frequency.NEVER),
        (Frequency.EACH, "nonsense", Frequency.NEVER),
    ],
)
def test_one_step_on_the_unsubscribe_page_means_fewer_letters(
    client: FlaskClient, store: Store, desk: LetterContext, *, had: Frequency, instead: str, then: Frequency
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=had, news=Frequency.EACH)
    for _ in range(2):
        assert client.post(unsubscribe_path(desk, bob), data={"instead": instead}).status_code == 200
        assert choices_of(store, bob) == {Topic.SPECIALS: then, Topic.NEWS: Frequency.EACH}


def test_for_a_day_after_unsubscribing_less_often_is_offered(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    answer = client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    assert BeautifulSoup(answer.text, "html.parser").select_one("button[name=instead][value=weekly]")
    assert "weekly" in told(client.post(unsubscribe_path(desk, bob), data={"instead": "weekly"}))
    assert choices_of(store, bob)[Topic.SPECIALS] is Frequency.WEEKLY
    client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    clock.advance(days=1, seconds=1)
    client.post(unsubscribe_path(desk, bob), data={"instead": "weekly"})
    assert choices_of(store, bob)[Topic.SPECIALS] is Frequency.NEVER


def test_one_step_ends_all_topics(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH, news=Frequency.WEEKLY, replies=Frequency.EACH)
    assert "about anything" in told(client.post(unsubscribe_path(desk, bob), data={"instead": "all"}))
    assert choices_of(store, bob) == dict.fromkeys(Topic, Frequency.NEVER)


# The calendar


@pytest.mark.parametrize(
    ("now", "last_monday", "next_first"),
    [
        ("2007-10-10T13:41", "2007-10-08", "2007-11-01"),
        ("2007-10-15T07:59", "2007-10-08", "2007-11-01"),
        ("2007-10-15T08:00", "2007-10-15", "2007-11-01"),
        ("2007-12-31T23:59", "2007-12-31", "2008-01-01"),
        ("2008-01-01T07:59", "2007-12-31", "2008-01-01"),
        ("2008-01-31T08:00", "2008-01-28", "2008-02-01"),
    ],
)
def test_digests_come_on_mondays_and_on_the_first(now: str, last_monday: str, next_first: str) -> None:
    moment = OPPS_DAY.fromisoformat(f"{now}+00:00")
    last, following = last_digest(Frequency.WEEKLY, moment), next_digest(Frequency.MONTHLY, moment)
    assert (last.date(), following.date()) == (date.fromisoformat(last_monday), date.fromisoformat(next_first))
    for frequency in (Frequency.WEEKLY, Frequency.MONTHLY):
        assert last_digest(frequency, moment) <= moment < next_digest(frequency, moment)
