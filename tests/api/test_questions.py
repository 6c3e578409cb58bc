"""Other programs ask with a key whom they may write to. No address is in a URL, and errors say what to do."""

import csv
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from sqlalchemy import select
from werkzeug.test import TestResponse

from feedback_app.api.models import ApiKey, Scope
from feedback_app.api.services import make_key, revoke_key
from feedback_app.api.views import ADDRESS_HEADER
from feedback_app.app import create_app
from feedback_app.audit_log import Act, AuditLine
from feedback_app.config import Settings
from feedback_app.customers.models import Customer, Frequency, NameDisplay, Suppression, SuppressionReason
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY, Clock
from tests.support.commands import typed
from tests.support.databases import SQLITE
from tests.support.mailings import read
from tests.support.people import ALICE, BOB, CAROL, Person, welcome
from tests.support.preference_pages import ONE_CLICK, rows
from tests.support.serving import serving
from tests.support.shop import ROOT, clean_environment
from tests.support.smtp import MailServer

API = "/feedback/api/v1"
ZOE = Person("Zoë Zimmer", "zoë@exämple.com")
BOTH = (Scope.MAY_WRITE_TO, Scope.AUDIENCE)


@pytest.fixture
def backend() -> str:
    """One database: the rule itself is tested on both."""
    return SQLITE


@pytest.fixture
def key(store: Store) -> str:
    """A key with every scope."""
    return new_key(store, "newsletter-tool", *BOTH)


def new_key(store: Store, name: str, *scopes: Scope) -> str:
    """Make a key as the owner; return it."""
    with store.writing() as session:
        return make_key(session, name, scopes, who="owner", now=OPPS_DAY)


def ask(client: FlaskClient, key: str, question: str, **headers: str) -> TestResponse:
    """Ask as a program."""
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"{API}/{question}", headers={"Authorization": f"Bearer {key}", **said})


def may(client: FlaskClient, key: str, address: str, topic: str = "specials") -> dict[str, Any]:
    """Return whether an address may be written to."""
    header = {ADDRESS_HEADER: quote(address, safe="@")}
    answer = client.get(f"{API}/may-write-to?topic={topic}", headers={"Authorization": f"Bearer {key}", **header})
    assert answer.status_code == 200, answer.text
    return dict(json.loads(answer.text))


def lines(answer: TestResponse) -> list[dict[str, Any]]:
    """Return the lines of an answer."""
    return [json.loads(line) for line in answer.text.splitlines()]


def description(client: FlaskClient) -> dict[str, Any]:
    """Return the API's description."""
    return dict(json.loads(client.get(f"{API}/openapi.json").text))


def is_problem(client: FlaskClient, answer: TestResponse, status: int, name: str) -> None:
    """Check that an answer is a described problem detail that repeats nothing of the question."""
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    said = json.loads(answer.text)
    schema = description(client)["components"]["schemas"]["Problem"]
    Draft202012Validator(schema).validate(said)
    assert (said["type"], said["status"]) == (f"urn:undisclosed:problem:{name}", status)
    assert "@" not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


# May this person be written to?


def test_the_answer_is_what_the_customer_chose_at_this_moment(
    client: FlaskClient, store: Store, key: str, clock: Clock
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.WEEKLY)
    no = {"topic": "specials", "may_write_to": False, "frequency": "never"}
    assert may(client, key, ALICE.address.upper()) == {"topic": "specials", "may_write_to": True, "frequency": "weekly"}
    assert may(client, key, ALICE.address, "news") == no | {"topic": "news"}
    with store.writing() as session:
        session.get_one(Customer, alice).pause_until = clock.now().date().replace(year=2008)
    assert may(client, key, ALICE.address) == no
    with store.writing() as session:
        session.get_one(Customer, alice).pause_until = None
        fingerprint = session.get_one(Customer, alice).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=SuppressionReason.COMPLAINED, at=OPPS_DAY))
    # A no gives no reason, and is the same for an unknown address.
    assert may(client, key, ALICE.address) == may(client, key, "nobody@example.com") == no


def test_an_address_in_any_script_can_be_asked_about(client: FlaskClient, store: Store, key: str) -> None:
    welcome(store, ZOE, now=OPPS_DAY, specials=Frequency.EACH)
    assert may(client, key, ZOE.address)["may_write_to"]
    assert not may(client, key, "per%cent@example.com")["may_write_to"]


@pytest.mark.parametrize(
    "address",
    ["", "alice", "alice@", f"{ALICE.address}, {BOB.address}", "a%FF@example.com", f"{'x' * 900}@example.com"],
)
def test_a_malformed_address_is_refused(client: FlaskClient, key: str, address: str) -> None:
    answer = ask(client, key, "may-write-to?topic=specials", **{ADDRESS_HEADER.replace("-", "_"): address})
    is_problem(client, answer, 400, "bad-address")


def test_an_address_in_a_url_is_refused_and_nothing_of_it_is_logged(
    client: FlaskClient, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in ("address", "email", "x"):
            answer = ask(client, key, f"may-write-to?topic=specials&{name}={ALICE.address}")
            is_problem(client, answer, 400, "address-in-url")
    assert ALICE.address not in caplog.text
    is_problem(client, ask(client, key, "audience?topic=specials&page=2"), 400, "bad-request")


@pytest.mark.parametrize("question", ["may-write-to", "audience"])
@pytest.mark.parametrize("topic", ["", "?topic=", "?topic=socks", "?topic=SPECIALS", "?topic=news%00"])
def test_an_unknown_topic_is_refused(client: FlaskClient, key: str, question: str, topic: str) -> None:
    is_problem(client, ask(client, key, question + topic), 400, "unknown-topic")


# Who may be?


def test_the_audience_has_a_line_per_customer_with_a_letters_links(client: FlaskClient, store: Store, key: str) -> None:
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FIRST, specials=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.MONTHLY)
    welcome(store, CAROL, now=OPPS_DAY, specials=Frequency.NEVER)
    answer = ask(client, key, "audience?topic=specials")
    assert answer.mimetype == "application/jsonl"
    assert answer.is_streamed
    people = lines(answer)
    said = [(one["address"], one["name"], one["frequency"]) for one in people]
    assert said == [(ALICE.address, "Alice", "each"), (BOB.address, None, "monthly")]
    schemas = description(client)["components"]["schemas"]
    for one in people:
        Draft202012Validator(schemas["Person"] | {"components": {"schemas": schemas}}).validate(one)
    out = people[0]["unsubscribe"].removeprefix("http://127.0.0.1:8000")
    assert client.post(out, data=ONE_CLICK).status_code == 200
    assert [one["address"] for one in lines(ask(client, key, "audience?topic=specials"))] == [BOB.address]
    assert "b…@e…" in client.get(people[1]["preferences"].removeprefix("http://127.0.0.1:8000")).text


def test_the_audience_can_be_csv(client: FlaskClient, store: Store, key: str) -> None:
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FULL, news=Frequency.EACH)
    answer = ask(client, key, "audience?topic=news", Accept="text/csv")
    assert answer.mimetype == "text/csv"
    [row] = csv.DictReader(answer.text.splitlines())
    assert (row["address"], row["name"], row["frequency"]) == (ALICE.address, ALICE.name, "each")
    assert ask(client, key, "audience?topic=specials", Accept="text/csv").text.count("\n") == 1
    is_problem(client, ask(client, key, "audience?topic=news", Accept="image/png"), 406, "unknown-format")


def test_the_audit_log_records_an_audience_by_key_without_addresses(
    client: FlaskClient, store: Store, key: str
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    ask(client, key, "audience?topic=specials")
    with store.reading() as session:
        line = session.scalars(select(AuditLine).order_by(AuditLine.id.desc())).first()
        assert line
        assert (line.who, line.act, line.about) == (
            "key newsletter-tool",
            Act.ADDRESS_SHOWN,
            "the audience of specials",
        )


# Keys


def test_a_key_is_kept_as_its_hash_only(store: Store, key: str) -> None:
    secret = key.removeprefix("undisclosed_")
    assert len(secret) >= 43
    with store.reading() as session:
        [row] = session.scalars(select(ApiKey))
        assert row.start == secret[:6]
    assert secret.encode() not in repr(rows(store)).encode()


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Basic dTpw", "Bearer undisclosed_" + "x" * 43])
def test_without_a_good_key_nothing_is_answered(client: FlaskClient, store: Store, key: str, header: str) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    assert key
    for question in ("may-write-to?topic=specials", "audience?topic=specials"):
        answer = client.get(f"{API}/{question}", headers={"Authorization": header, ADDRESS_HEADER: ALICE.address})
        is_problem(client, answer, 401, "key-needed")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_works_for_its_scope_and_until_it_is_revoked(client: FlaskClient, store: Store, clock: Clock) -> None:
    narrow = new_key(store, "till", Scope.MAY_WRITE_TO)
    is_problem(client, ask(client, narrow, "audience?topic=specials"), 403, "key-not-for-this")
    assert not may(client, narrow, ALICE.address)["may_write_to"]
    with store.writing() as session:
        revoke_key(session, "till", who="owner", now=clock.now())
    is_problem(client, ask(client, narrow, "may-write-to?topic=specials"), 401, "key-needed")


def test_a_key_can_ask_only_so_often(app: Flask, store: Store, key: str) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    client = app.test_client()
    answers = [ask(client, key, "audience?topic=specials") for _ in range(31)]
    assert {answer.status_code for answer in answers[:30]} == {200}
    is_problem(client, answers[30], 429, "too-fast")
    assert answers[30].headers["Retry-After"] == "60"
    # Each scope is counted for itself, and guessed keys by their network.
    assert may(client, key, ALICE.address)["may_write_to"]
    guesses = [ask(client, "undisclosed_guess", "audience?topic=specials").status_code for _ in range(31)]
    assert guesses == [401] * 30 + [429]


def test_an_unknown_url_is_a_problem_detail_for_programs(client: FlaskClient) -> None:
    is_problem(client, client.get(f"{API}/socks"), 404, "not-found")
    answer = client.post(f"{API}/audience")
    is_problem(client, answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]


# The description


def test_the_description_is_valid_and_describes_every_question(app: Flask, client: FlaskClient) -> None:
    document = description(client)
    validate(document)
    routes = {rule.rule.removeprefix(API) for rule in app.url_map.iter_rules() if rule.rule.startswith(API)}
    assert set(document["paths"]) == routes
    assert document["servers"] == [{"url": f"http://127.0.0.1:8000{API}"}]
    scopes = json.dumps(document)
    for scope in Scope:
        assert f"the scope {scope}" in scopes


# On the command line


@pytest.fixture
def run(settings: Settings, store: Store, clock: Clock) -> Callable[..., str]:
    """A runner of the shop's commands."""
    assert store.dialect
    assert clock.now() == OPPS_DAY
    return partial(typed, settings)


def test_keys_are_made_listed_and_revoked_on_the_command_line(
    run: Callable[..., str], client: FlaskClient, store: Store
) -> None:
    made = json.loads(run("keys", "new", "till", "--scope", "may-write-to", "--json"))
    assert not may(client, made["key"], ALICE.address)["may_write_to"]
    assert "2 keys made" not in run("keys", "new", "list", "--scope", "audience", "--scope", "may-write-to")
    listed = json.loads(run("keys", "list", "--json"))
    assert [one["name"] for one in listed] == ["till", "list"]
    assert listed[0]["used_at"]
    said = run("keys", "list")
    assert "2 keys." in said
    assert made["key"] not in said
    assert "1 key revoked: till." in run("keys", "revoke", "till")
    assert "already" in run("keys", "revoke", "till", expect=1)
    assert "there is no key" in run("keys", "revoke", "nothing", expect=1)
    assert "of its own" in run("keys", "new", "till", "--scope", "audience", expect=1)
    assert "small letters" in run("keys", "new", "The Till", "--scope", "audience", expect=1)
    run("keys", "new", "till2", expect=2)
    with store.reading() as session:
        acts = [line.act for line in session.scalars(select(AuditLine).order_by(AuditLine.id))]
        assert acts == [Act.KEY_MADE, Act.KEY_MADE, Act.KEY_REVOKED]


def test_the_command_prints_an_audience_in_each_format_and_logs_it(run: Callable[..., str], store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.WEEKLY)
    assert json.loads(run("audience", "specials", "--json")) == [{"address": ALICE.address, "name": ALICE.name}]
    assert json.loads(run("audience", "news", "--json")) == []
    [row] = csv.DictReader(run("audience", "specials", "--format", "csv").splitlines())
    [line] = [json.loads(line) for line in run("audience", "specials", "--format", "jsonl").splitlines()]
    assert row == line
    assert (row["address"], row["frequency"]) == (ALICE.address, "weekly")
    assert run("audience", "specials") == f"{ALICE.address}\t{ALICE.name}\n"
    run("audience", "specials", "--format", "csv", "--json", expect=2)
    with store.reading() as session:
        said = [(one.who, one.act, one.about) for one in session.scalars(select(AuditLine))]
        assert said.count(("command line", Act.ADDRESS_SHOWN, "the audience of specials")) == 4


# The documentation


@pytest.fixture
def served(settings: Settings, store: Store) -> Iterator[str]:
    """URL of the app on a real server."""
    with serving(create_app(settings, store)) as where:
        yield where


def test_the_documented_example_works(served: str, store: Store, key: str, sink: MailServer, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "other-mailers.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mailer.py").write_text(example, encoding="utf-8")
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.WEEKLY)
    welcome(store, CAROL, now=OPPS_DAY, specials=Frequency.NEVER)
    host, _, port = sink.url.removeprefix("smtp://").partition(":")
    where = {"SHOP": served, "KEY": key, "MAIL_HOST": host, "MAIL_PORT": port}
    done = subprocess.run(
        [sys.executable, tmp_path / "mailer.py"],
        env=clean_environment() | where,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [letter] = sink.letters
    assert letter.recipients == (ALICE.address,)
    headers = letter.data.partition(b"\r\n\r\n")[0]
    assert re.search(
        rb"^List-Unsubscribe: <http://127\.0\.0\.1:8000/feedback/unsubscribe/[\w=-]+>\r?$", headers, re.MULTILINE
    )
    assert read(letter.data)["To"] == ALICE.address
