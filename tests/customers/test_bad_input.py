"""Malformed and simultaneous requests get a helpful page, and nothing is lost."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from feedback_app.customers.importing.services import import_customers
from feedback_app.customers.models import ConsentChannel, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.security.tokens import Claim, Purpose
from tests.support.clock import OPPS_DAY
from tests.support.databases import BACKENDS, SQLITE
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


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


def form_of(client: FlaskClient, page: str) -> dict[str, str]:
    """Return what a page's form sends if nothing is changed."""
    fields = BeautifulSoup(client.get(page).text, "html.parser").select("form input[type=hidden]")
    return {str(field["name"]): str(field["value"]) for field in fields}


@pytest.mark.parametrize("code", [0, 4, 99, 2**16 - 1])
def test_a_link_about_an_unknown_topic_ends_nothing(
    client: FlaskClient, store: Store, desk: LetterContext, code: int
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    token = desk.signer.sign(Claim(Purpose.UNSUBSCRIBE, bob, code), now=OPPS_DAY, days=7)
    before = rows(store)
    for answer in (client.get(f"/feedback/unsubscribe/{token}"), client.post(f"/feedback/unsubscribe/{token}")):
        assert answer.status_code == 404
        assert "Mail me a link" in answer.text
    assert rows(store) == before


def test_doubled_or_invented_fields_reveal_no_other_customer(
    client: FlaskClient, store: Store, desk: LetterContext
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    alices = choices_of(store, alice)
    doubled = MultiDict(NOTHING_CHOSEN | form_of(client, centre(desk, bob)))
    doubled.add("specials", "each")
    doubled.update({"customer_id": str(alice), "id": str(alice), "email": ALICE.address, "confirmed_at": ""})
    assert client.post(centre(desk, bob), data=doubled).status_code == 200
    assert choices_of(store, bob)[Topic.SPECIALS] is Frequency.NEVER
    assert choices_of(store, alice) == alices
    assert customer_of(store, bob).confirmed_at == OPPS_DAY


@pytest.mark.parametrize("instead", ["daily", "each", "ALL", "\x00", "weekly,all", "x" * 10_000])
def test_an_unknown_button_unsubscribes_as_the_link_says(
    client: FlaskClient, store: Store, desk: LetterContext, instead: str
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY, specials=Frequency.MONTHLY, news=Frequency.EACH)
    assert client.post(unsubscribe_path(desk, bob), data=ONE_CLICK | {"instead": instead}).status_code == 200
    assert choices_of(store, bob) == {Topic.SPECIALS: Frequency.NEVER, Topic.NEWS: Frequency.EACH}


@pytest.mark.parametrize(
    ("until", "why"),
    [
        ("10000-01-01", "not a day"),
        ("2007-02-30", "not a day"),
        ("0000-00-00", "not a day"),
        ("1970-01-01", "today or later"),
        ("9999-12-31", "ten years"),
        ("2008-01-01T00:00", "not a day"),
        ("-1", "not a day"),
    ],
)
def test_an_invalid_date_is_refused_and_the_rest_is_kept(
    client: FlaskClient, store: Store, desk: LetterContext, until: str, why: str
) -> None:
    bob = welcome(store, BOB, now=OPPS_DAY)
    before = rows(store)
    answer = send(client, centre(desk, bob), NOTHING_CHOSEN | {"pause_until": until, "name": "Bobby"})
    assert answer.status_code == 400
    assert why in told(answer)
    assert 'value="Bobby"' in answer.text
    assert rows(store) == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_save_during_an_import_wins_whichever_comes_first(
    app: Flask, store: Store, desk: LetterContext, tmp_path: Path
) -> None:
    alice, bob = welcome(store, ALICE, now=OPPS_DAY), welcome(store, BOB, now=OPPS_DAY)
    crowd = "".join(f"reader{number}@example.com\n" for number in range(600))
    lines = f"email\n{ALICE.address}\n{crowd}{BOB.address}\n"
    (tmp_path / "list.csv").write_text(lines, encoding="utf-8")
    browsers = {alice: app.test_client(), bob: app.test_client()}
    wanted = {alice: {"specials": "weekly"}, bob: {"specials": "never"}}
    forms = {one: form_of(browsers[one], centre(desk, one)) for one in browsers}
    together = Barrier(3)

    def import_list() -> int:
        together.wait(30)
        how = {"topic": Topic.SPECIALS, "evidence": "The fair of 2007", "now": OPPS_DAY}
        return import_customers(store, tmp_path / "list.csv", **how).added  # type: ignore[arg-type]

    def save(person: int) -> int:
        together.wait(30)
        page = centre(desk, person)
        answer = browsers[person].post(page, data=NOTHING_CHOSEN | wanted[person] | forms[person])
        if answer.status_code == 409:
            # The import was faster, and the page shows it; the customer saves again.
            again = BeautifulSoup(answer.text, "html.parser").select("form input[type=hidden]")
            fields = {str(field["name"]): str(field["value"]) for field in again}
            answer = browsers[person].post(page, data=NOTHING_CHOSEN | wanted[person] | fields)
        return answer.status_code

    with ThreadPoolExecutor(3) as hands:
        added = hands.submit(import_list)
        saves = [hands.submit(save, person) for person in (alice, bob)]
        assert [one.result() for one in saves] == [200, 200]
        assert added.result() in range(600, 603)
    assert choices_of(store, alice)[Topic.SPECIALS] is Frequency.WEEKLY
    assert choices_of(store, bob)[Topic.SPECIALS] is Frequency.NEVER
    for person in (alice, bob):
        last = [line for line in record_of(store, person) if line.topic is Topic.SPECIALS][-1]
        assert last.channel is ConsentChannel.FORM
        assert last.frequency is choices_of(store, person)[Topic.SPECIALS]
