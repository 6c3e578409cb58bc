"""The preference pages: they show on GET, act on POST, for one person and one purpose."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from itertools import product
from threading import Barrier

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.app import create_app
from feedback_app.config import Settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import choose, may_write_to
from feedback_app.customers.link_requests import handle_typed_addresses
from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    Customer,
    Frequency,
    LetterFormat,
    NameDisplay,
    Wording,
)
from feedback_app.customers.services import address_of, name_of
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterRequest
from feedback_app.mailing.letters.context import LetterContext
from tests.support.clock import OPPS_DAY, Clock
from tests.support.people import ALICE, BOB, customer_of, welcome
from tests.support.preference_pages import (
    ASK,
    NOTHING_CHOSEN,
    ONE_CLICK,
    TESS,
    centre,
    choices_of,
    record_of,
    rows,
    send,
    told,
    unsubscribe_path,
)

# Asking for a link


def looked_up(store: Store, now: datetime = OPPS_DAY) -> None:
    """Let the mailer handle the typed addresses."""
    with store.writing() as session:
        handle_typed_addresses(session, now=now, quiet=True)


def test_asking_says_the_same_for_known_and_unknown_addresses(app: Flask, store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    answers = [send(app.test_client(), ASK, {"email": address}) for address in (ALICE.address, TESS)]
    known, unknown = answers
    assert (known.status, known.data) == (unknown.status, unknown.data)
    assert known.headers == unknown.headers
    assert known.status_code == 303
    page = app.test_client().get(known.headers["Location"])
    assert "on its way" in told(page)


def test_asking_stores_a_request_and_an_unconfirmed_customer(client: FlaskClient, store: Store) -> None:
    before = rows(store)
    send(client, ASK, {"email": TESS})
    after = rows(store)
    assert {name for name in after if after[name] != before[name]} == {"typed_addresses"}
    looked_up(store)
    after = rows(store)
    assert {name for name in after if after[name] != before[name]} == {"customers", "letter_requests"}
    with store.reading() as session:
        [customer] = session.scalars(select(Customer))
        [request] = session.scalars(select(LetterRequest))
        assert (request.customer_id, request.asked_at, request.sent_at) == (customer.id, OPPS_DAY, None)
        assert address_of(session, customer).written == TESS
        assert customer.confirmed_at is None
        assert not any(may_write_to(session, customer, topic, now=OPPS_DAY) for topic in Topic)


def test_asking_changes_nothing_for_a_known_customer(client: FlaskClient, store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    send(client, ASK, {"email": ALICE.address.upper()})
    looked_up(store)
    after = rows(store)
    assert {name for name in after if after[name] != before[name]} == {"letter_requests"}
    with store.reading() as session:
        assert [request.customer_id for request in session.scalars(select(LetterRequest))] == [alice]


def test_no_inbox_can_be_flooded_with_letters(client: FlaskClient, store: Store, clock: Clock) -> None:
    def requests() -> int:
        looked_up(store, clock.now())
        with store.reading() as session:
            return len(session.scalars(select(LetterRequest)).all())

    def the_letter_leaves() -> None:
        with store.writing() as session:
            for request in session.scalars(select(LetterRequest)):
                request.sent_at = clock.now()

    for address in (TESS, TESS.upper(), TESS):
        send(client, ASK, {"email": address})
    assert requests() == 1
    the_letter_leaves()
    clock.advance(minutes=4)
    send(client, ASK, {"email": TESS})
    assert requests() == 1
    clock.advance(minutes=2)
    send(client, ASK, {"email": TESS})
    assert requests() == 2


def test_pressing_the_button_many_times_at_once_is_harmless(app: Flask, store: Store) -> None:
    presses = 6
    together = Barrier(presses)

    def press(_: int) -> int:
        client = app.test_client()
        client.get(ASK)
        together.wait(30)
        return send(client, ASK, {"email": TESS}).status_code

    with ThreadPoolExecutor(presses) as hands:
        assert set(hands.map(press, range(presses))) == {303}
    looked_up(store)
    with store.reading() as session:
        assert len(session.scalars(select(Customer)).all()) == 1
        assert len(session.scalars(select(LetterRequest)).all()) == 1


def test_a_bad_address_stays_in_the_form_and_is_not_stored(client: FlaskClient, store: Store) -> None:
    before = rows(store)
    two = ["a@b.example, c@d.example", "tess@example.com\r\nBcc: eve@x.com"]
    for typed in ["tess", "tess@", "tess@exa<b>mple.com", *two]:
        answer = send(client, ASK, {"email": typed})
        assert answer.status_code == 400
        field = BeautifulSoup(answer.text, "html.parser").select_one("#email")
        assert field
        assert field["value"] == typed
        assert field["aria-invalid"] == "true"
        assert "email-error" in str(field["aria-describedby"]).split()
    assert rows(store) == before


def test_each_mistake_is_said_once(client: FlaskClient) -> None:
    for typed in ("", " ", "x" * 5000, "x" * 5000 + "@example.com"):
        answer = send(client, ASK, {"email": typed})
        [said] = BeautifulSoup(answer.text, "html.parser").select(".error")
        assert said.get_text().count(".") == 1 or "name@example.com" in said.get_text()


def test_a_forged_request_does_nothing_and_keeps_what_was_typed(client: FlaskClient, store: Store) -> None:
    before = rows(store)
    for forged in ({}, {"csrf_token": ""}, {"csrf_token": "forged"}, {"csrf_token": "IjEi.forged.forged"}):
        answer = client.post(ASK, data={"email": TESS} | forged)
        assert answer.status_code == 400
        assert "send it again" in told(answer)
        page = BeautifulSoup(answer.text, "html.parser")
        assert page.select_one(f"#email[value='{TESS}']")
    assert rows(store) == before
    # And it can be sent again from there.
    token = page.select_one("form [name=csrf_token]")
    assert token
    assert client.post(ASK, data={"email": TESS, "csrf_token": str(token["value"])}).status_code == 303


# The centre


def test_looking_at_the_choices_changes_nothing(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    send(client, ASK, {"email": TESS})
    looked_up(store)
    with store.reading() as session:
        [tess] = session.scalars(select(Customer.id))
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    for person, method, more in product(
        (tess, bob), ("GET", "HEAD", "OPTIONS"), ("", "?show=address", "?specials=each")
    ):
        assert client.open(centre(desk, person) + more, method=method).status_code == 200
    assert rows(store) == before


def test_the_address_is_masked_until_asked(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    link = centre(desk, welcome(store, BOB, now=OPPS_DAY))
    page = client.get(link)
    assert "b…@e…" in told(page)
    assert BOB.address not in page.text
    assert "?show=address" in page.text
    assert BOB.address in told(client.get(f"{link}?show=address"))


def test_the_choices_are_shown_as_they_are(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FIRST, specials=Frequency.WEEKLY, news=Frequency.NEVER)
    with store.writing() as session:
        customer = session.get_one(Customer, bob)
        customer.format, customer.pause_until = LetterFormat.TEXT, date(2007, 12, 24)
    page = BeautifulSoup(client.get(centre(desk, bob)).text, "html.parser")
    chosen = {
        str(field["name"]): field["value"] for field in page.select("form [checked], form input:not([type=radio])")
    }
    assert chosen.pop("csrf_token")
    assert chosen.pop("seen")
    assert chosen == {
        "specials": "weekly",
        "news": "never",
        "replies": "never",
        "format": "text",
        "name_display": "first",
        "name": BOB.name,
        "pause_until": "2007-12-24",
    }
    assert all(topic.info.wording in page.get_text() for topic in Topic)


def test_saving_stores_the_choices_and_their_record(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    send(client, ASK, {"email": TESS})
    looked_up(store)
    with store.reading() as session:
        [tess] = session.scalars(select(Customer.id))
    fields = {
        "specials": "each",
        "news": "monthly",
        "replies": "never",
        "format": "text",
        "name_display": "full",
        "name": " Tess   Tailor ",
        "pause_until": "2007-12-24",
    }
    answer = send(client, centre(desk, tess), fields)
    assert answer.status_code == 200
    assert "saved" in told(answer)
    assert "Offers: each time (it was: never)." in told(answer)
    customer = customer_of(store, tess)
    assert customer.confirmed_at == OPPS_DAY
    assert (customer.format, customer.name_display) == (LetterFormat.TEXT, NameDisplay.FULL)
    assert customer.pause_until == date(2007, 12, 24)
    with store.reading() as session:
        assert name_of(session, customer) == "Tess Tailor"
        said = [
            (event.topic, event.action, event.frequency, event.channel, event.at, event.evidence)
            for event in record_of(store, tess)
        ]
        given, withdrawn = ConsentAction.GIVEN, ConsentAction.WITHDRAWN
        form = ConsentChannel.FORM
        assert said == [
            (Topic.SPECIALS, given, Frequency.EACH, form, OPPS_DAY, None),
            (Topic.NEWS, given, Frequency.MONTHLY, form, OPPS_DAY, None),
            (Topic.REPLIES, withdrawn, Frequency.NEVER, form, OPPS_DAY, None),
        ]
        for event in record_of(store, tess):
            assert session.get_one(Wording, event.wording_hash).text == event.topic.info.wording


def test_the_record_keeps_the_wording_of_the_page(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    page = told(client.get(centre(desk, bob)))
    send(client, centre(desk, bob), NOTHING_CHOSEN | {"specials": "each"})
    with store.reading() as session:
        assert all(session.get_one(Wording, event.wording_hash).text in page for event in record_of(store, bob))


def test_never_is_an_explicit_no(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    send(client, centre(desk, bob), NOTHING_CHOSEN)
    assert choices_of(store, bob) == dict.fromkeys(Topic, Frequency.NEVER)
    assert record_of(store, bob)[-3:][0].action is ConsentAction.WITHDRAWN
    with store.reading() as session:
        assert not may_write_to(session, session.get_one(Customer, bob), Topic.SPECIALS, now=OPPS_DAY)


def test_saving_twice_makes_no_new_line_in_the_record(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    fields = NOTHING_CHOSEN | {"news": "weekly", "name": BOB.name}
    send(client, centre(desk, bob), fields)
    before = rows(store)
    clock.advance(hours=1)
    answer = send(client, centre(desk, bob), fields)
    assert "as it was" in told(answer)
    after = rows(store)
    # The name is sealed again; nothing else changes.
    assert {name for name in after if after[name] != before[name]} <= {"customers"}
    with store.reading() as session:
        assert name_of(session, session.get_one(Customer, bob)) == BOB.name


def test_two_saves_at_once_make_one_line_for_each_topic(app: Flask, store: Store, desk: LetterContext) -> None:
    people = [welcome(store, person, now=OPPS_DAY) for person in (ALICE, BOB)] * 3
    together = Barrier(len(people))

    def press(person: int) -> int:
        client = app.test_client()
        together.wait(30)
        return send(client, centre(desk, person), NOTHING_CHOSEN | {"news": "weekly"}).status_code

    with ThreadPoolExecutor(len(people)) as hands:
        assert set(hands.map(press, people)) == {200}
    for person in people:
        assert [event.topic for event in record_of(store, person)] == list(Topic)


def test_a_failure_midway_changes_nothing(
    app: Flask, store: Store, desk: LetterContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)

    def fail_at_the_last(
        session: Session, customer: Customer, topic: Topic, *rest: Frequency, **more: object
    ) -> object:
        if topic is Topic.REPLIES:
            message = "the disk is full"
            raise OSError(message)
        return choose(session, customer, topic, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("feedback_app.customers.preferences.choose", fail_at_the_last)
    app.testing = False
    before = rows(store)
    fields = {"specials": "never", "news": "each", "replies": "each", "name": "Somebody Else", "format": "text"}
    answer = send(app.test_client(), centre(desk, bob), NOTHING_CHOSEN | fields)
    assert answer.status_code == 500
    assert "on our side" in told(answer)
    assert rows(store) == before


def test_a_form_with_some_fields_changes_only_these(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.EACH)
    send(client, centre(desk, bob), {"news": "weekly"})
    chosen = choices_of(store, bob)
    assert (chosen[Topic.SPECIALS], chosen[Topic.NEWS]) == (Frequency.EACH, Frequency.WEEKLY)
    assert customer_of(store, bob).name_display is NameDisplay.FULL


def test_an_invalid_pause_is_refused_and_the_rest_is_kept(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    before = rows(store)
    past, far = ["2007-10-09", "0001-01-01"], ["2017-10-18", "9999-12-31", "10000-01-01"]
    for until in [*past, *far, "tomorrow", "2007-02-30", "24.12.2007", "'; DROP", "\u0661"]:
        fields = NOTHING_CHOSEN | {"specials": "each", "name": "Bo", "pause_until": until}
        answer = send(client, centre(desk, bob), fields)
        assert answer.status_code == 400
        page = BeautifulSoup(answer.text, "html.parser")
        inputs = page.select("form [checked], form input:not([type=radio])")
        kept = {str(field["name"]): field["value"] for field in inputs}
        assert (kept["specials"], kept["name"], kept["pause_until"]) == ("each", "Bo", until)
        [said] = page.select("#pause_until-error")
        assert said.get_text()
        # The error is at the top of the long form too, with a link to its field.
        assert page.select_one("[role=alert] a[href='#pause_until']")
    assert rows(store) == before


def test_a_pause_may_end_today_or_in_ten_years(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    for until in ("2007-10-10", "2008-02-29", "2017-10-09"):
        assert send(client, centre(desk, bob), NOTHING_CHOSEN | {"pause_until": until}).status_code == 200
        assert customer_of(store, bob).pause_until == date.fromisoformat(until)
    send(client, centre(desk, bob), NOTHING_CHOSEN)
    assert customer_of(store, bob).pause_until is None


def test_a_hostile_name_is_refused(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    before = rows(store)
    headers, addresses = ["Bob\r\nBcc: eve@evil.example", "x=?UTF-8?Q?=0A?=Bcc: eve"], ["bob@example.org"]
    for name in [*headers, *addresses, "=HYPERLINK(1)", "Bob\u202egnuoy", "B" * 101, "B" * 100_000]:
        answer = send(client, centre(desk, bob), NOTHING_CHOSEN | {"name": name})
        assert answer.status_code == 400
        [said] = BeautifulSoup(answer.text, "html.parser").select(".error")
        assert said.get_text().startswith("The name ")
        assert said.get_text().count(".") == 1
    assert rows(store) == before


def test_a_strange_name_is_kept_and_escaped(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    for name in ("<script>alert(1)</script>", '"><img src=x>', "{{ 7*7 }}", "Robert'); DROP TABLE x;"):
        assert send(client, centre(desk, bob), NOTHING_CHOSEN | {"name": name}).status_code == 200
        page = BeautifulSoup(client.get(centre(desk, bob)).text, "html.parser")
        field = page.select_one("#name")
        assert field
        assert field["value"] == name
        assert not page.select("script, img[src=x]")


def test_an_unknown_choice_is_refused(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    for field, value in product(
        ("specials", "news", "replies", "format", "name_display"), ("hourly", "", "EACH", "each each", "\0")
    ):
        answer = send(client, centre(desk, bob), NOTHING_CHOSEN | {field: value})
        assert answer.status_code == 400
        group = BeautifulSoup(answer.text, "html.parser").select_one(f"fieldset#{field}")
        assert group
        assert f"{field}-error" in str(group["aria-describedby"]).split()
    assert rows(store) == before


def test_a_forged_save_changes_nothing_and_keeps_the_choices(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    for forged in ({}, {"csrf_token": "forged"}):
        answer = client.post(centre(desk, bob), data=NOTHING_CHOSEN | {"news": "weekly", "name": "Bo"} | forged)
        assert answer.status_code == 400
        page = BeautifulSoup(answer.text, "html.parser")
        assert page.select_one("[name=news][value=weekly][checked]")
        assert page.select_one("#name[value=Bo]")
        assert "send it again" in told(answer)
    assert rows(store) == before


def test_a_form_that_was_open_too_long_keeps_the_choices(app: Flask, store: Store, desk: LetterContext) -> None:
    app.config["WTF_CSRF_TIME_LIMIT"] = -1
    bob = welcome(store, BOB, now=OPPS_DAY)
    before = rows(store)
    answer = send(app.test_client(), centre(desk, bob), NOTHING_CHOSEN | {"news": "weekly"})
    assert answer.status_code == 400
    assert "open too long" in told(answer)
    assert rows(store) == before


# Links


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_bad_link_gets_a_helpful_page_and_changes_nothing(
    app: Flask, store: Store, desk: LetterContext, clock: Clock, method: str
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    good, out = centre(desk, bob), unsubscribe_path(desk, bob)
    token, out_token = (link.rpartition("/")[2] for link in (good, out))
    nobody = centre(desk, bob + 1000)
    bad = [
        good[:-1],
        good[:-10],
        f"{good}=",
        f"{good}x",
        f"{good}%20",
        f"{good}.",
        f"{ASK}/forged",
        f"{ASK}/{out_token}",
    ]
    bad += [nobody, f"{ASK}/{'A' * 40}", f"{ASK}/{'A' * 5000}", f"{ASK}/%00", f"{ASK}/Zo%C3%AB", f"{ASK}/%FF"]
    bad += [out[:-1], f"/feedback/unsubscribe/{token}", "/feedback/unsubscribe/forged"]
    clock.advance(days=31)
    bad.append(good)
    for path in bad:
        answer = app.test_client().open(path, method=method, data={**NOTHING_CHOSEN, **ONE_CLICK})
        assert answer.status_code == 404, path
        if method != "HEAD":
            assert "does not work any more" in told(answer)
            assert BeautifulSoup(answer.text, "html.parser").select_one(f"form[action='{ASK}'] #email")
    clock.advance(days=730)
    assert app.test_client().open(out, method=method, data=ONE_CLICK).status_code == 404
    assert rows(store) == before


def test_a_link_that_was_cut_off_gets_the_same_page(client: FlaskClient) -> None:
    for path in ("/feedback/unsubscribe/", "/feedback/preferences/"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "does not work any more" in told(answer)


def test_a_fresh_link_can_be_asked_for_on_the_page_of_a_bad_one(client: FlaskClient, store: Store) -> None:
    page = BeautifulSoup(client.get(f"{ASK}/forged").text, "html.parser")
    token = page.select_one("form [name=csrf_token]")
    assert token
    assert client.post(ASK, data={"email": TESS, "csrf_token": str(token["value"])}).status_code == 303
    looked_up(store)
    with store.reading() as session:
        assert len(session.scalars(select(LetterRequest)).all()) == 1


# Unsubscribing


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_following_the_link_changes_nothing(
    client: FlaskClient, store: Store, desk: LetterContext, method: str
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    before = rows(store)
    for query in ("", "?List-Unsubscribe=One-Click"):
        answer = client.open(unsubscribe_path(desk, bob) + query, method=method)
        assert answer.status_code == 200
    assert rows(store) == before
    if method == "GET":
        assert "b…@e…" in told(answer)
        assert BOB.address not in answer.text


@pytest.mark.parametrize(
    ("sent", "channel"),
    [
        pytest.param({"data": {}}, ConsentChannel.UNSUBSCRIBE_PAGE, id="the page's button"),
        pytest.param({"data": ONE_CLICK}, ConsentChannel.ONE_CLICK, id="one-click"),
        pytest.param(
            {"data": ONE_CLICK, "content_type": "multipart/form-data"},
            ConsentChannel.ONE_CLICK,
            id="multipart one-click",
        ),
        pytest.param({"data": b"\xff\xfe", "content_type": "text/plain"}, ConsentChannel.UNSUBSCRIBE_PAGE, id="noise"),
        pytest.param(
            {"data": b"{]", "content_type": "application/json"}, ConsentChannel.UNSUBSCRIBE_PAGE, id="broken JSON"
        ),
    ],
)
def test_a_post_ends_the_topic_and_records_the_channel(
    app: Flask, store: Store, desk: LetterContext, sent: dict[str, object], channel: ConsentChannel
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH, news=Frequency.WEEKLY)
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    everything_of_alice = (choices_of(store, alice), len(record_of(store, alice)))
    # A mail program has no cookies.
    client = app.test_client(use_cookies=False)
    answer = client.post(unsubscribe_path(desk, bob), **sent)
    assert answer.status_code == 200
    assert "no more letters about offers" in told(answer)
    assert "Set-Cookie" not in answer.headers
    assert choices_of(store, bob) == {Topic.SPECIALS: Frequency.NEVER, Topic.NEWS: Frequency.WEEKLY}
    last = record_of(store, bob)[-1]
    assert (last.topic, last.action, last.channel) == (Topic.SPECIALS, ConsentAction.WITHDRAWN, channel)
    with store.reading() as session:
        assert session.get_one(Wording, last.wording_hash).text == Topic.SPECIALS.info.wording
    assert (choices_of(store, alice), len(record_of(store, alice))) == everything_of_alice


def test_unsubscribing_twice_is_as_good_as_once(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    first = client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    before = rows(store)
    clock.advance(days=300)
    second = client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    assert (first.status, first.data) == (second.status, second.data)
    assert rows(store) == before


def test_unsubscribing_from_a_topic_never_chosen_is_an_explicit_no(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    client.post(unsubscribe_path(desk, bob, Topic.NEWS), data=ONE_CLICK)
    assert choices_of(store, bob) == {Topic.NEWS: Frequency.NEVER}


def test_an_erased_customer_gets_the_same_friendly_page(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with store.writing() as session:
        session.delete(session.get_one(Customer, bob))
    before = rows(store)
    assert client.get(unsubscribe_path(desk, bob)).status_code == 200
    gone, here = (client.post(unsubscribe_path(desk, person), data=ONE_CLICK) for person in (bob, alice))
    assert (gone.status, gone.data) == (here.status, here.data)
    client.post(unsubscribe_path(desk, bob), data=ONE_CLICK)
    assert rows(store)["customers"] == before["customers"]
    assert client.get(centre(desk, bob)).status_code == 404


def test_a_link_in_a_letter_to_alice_does_nothing_to_bob(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    everything = dict.fromkeys(("specials", "news", "replies"), Frequency.EACH)
    people = [
        welcome(store, person, now=OPPS_DAY, **everything)  # type: ignore[arg-type]
        for person in (ALICE, BOB)
    ]
    expected = dict.fromkeys(product(people, Topic), Frequency.EACH)
    for person, topic in expected:
        client.post(unsubscribe_path(desk, person, topic), data=ONE_CLICK)
        expected[person, topic] = Frequency.NEVER
        assert {(one, about): often for one in people for about, often in choices_of(store, one).items()} == expected


# Headers


def test_the_pages_are_not_cached_framed_or_told_to_other_sites(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    answers = [
        client.get(path) for path in (ASK, f"{ASK}/asked", centre(desk, bob), unsubscribe_path(desk, bob), f"{ASK}/no")
    ]
    answers.append(client.post(unsubscribe_path(desk, bob)))
    answers.append(send(client, centre(desk, bob), NOTHING_CHOSEN))
    answers.append(send(client, ASK, {"email": TESS}))
    for answer in answers:
        headers = answer.headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert "noindex" in headers["X-Robots-Tag"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Strict-Transport-Security" not in headers
        assert not re.search(r"<script|style=|\son\w+=|https?://", answer.text)


def test_under_https_the_cookie_is_secure(make_settings: Callable[..., Settings], store: Store, clock: Clock) -> None:
    app = create_app(make_settings(site_url="https://socks.example"), store)
    answer = app.test_client().get(ASK)
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("Secure", "HttpOnly", "SameSite=Lax"))
    assert clock.now() == OPPS_DAY


def test_a_link_works_until_the_end_of_its_thirtieth_day(
    client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    link = centre(desk, welcome(store, BOB, now=OPPS_DAY))
    clock.moment = OPPS_DAY.replace(hour=23, minute=59) + timedelta(days=30)
    assert client.get(link).status_code == 200
    clock.advance(minutes=1)
    assert client.get(link).status_code == 404


def test_the_key_of_an_address_never_leaves_the_store(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    fingerprint = customer_of(store, bob).fingerprint.hex()
    link = centre(desk, bob)
    assert fingerprint not in client.get(link).text
    assert Address.parse(BOB.address).key not in link
