"""Passkeys as the second factor: set up, used once for each challenge, removed."""

import json
import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from feedback_app.app import create_app
from feedback_app.audit_log import Act, AuditLine
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.desk.models import OwnerPasskey
from feedback_app.desk.services import MAX_FAILURES, create_owner, find_owner, remove_second_factor
from feedback_app.desk.sign_in.passkey_forms import NOT_TAKEN
from feedback_app.desk.sign_in.second_factor_codes import security_extension
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import SQLITE
from tests.support.passkey import SoftPasskey, add_passkey, options_of, send, signed_in
from tests.support.signing_in import ADMIN, PASSWORD, code, fill, set_up, token

# The database makes no difference here.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


def asked(client: FlaskClient, username: str = "nora") -> str:
    """Type the password and choose the passkey; return the page that asks for it."""
    fill(client, f"{ADMIN}/sign-in", username=username, password=PASSWORD)
    fill(client, f"{ADMIN}/which-factor", which="webauthn")
    return fill(client, f"{ADMIN}/passkey").text


def lines(store: Store, act: Act) -> list[str]:
    with store.reading() as session:
        return list(session.scalars(select(AuditLine.about).where(AuditLine.act == act).order_by(AuditLine.id)))


def test_the_owner_signs_in_with_a_passkey_instead_of_the_six_digits(
    app: Flask, store: Store, clock: Clock, nora: str
) -> None:
    client = app.test_client()
    codes = set_up(client, clock)
    passkey = add_passkey(client)
    other = app.test_client()
    page = asked(other)
    assert [one["id"] for one in options_of(page)["allowCredentials"]]
    assert not signed_in(other)
    send(other, page, passkey.answer(options_of(page)))
    assert signed_in(other)
    assert "the phone</strong>" in client.get(f"{ADMIN}/passkeys").text
    assert "last used" in client.get(f"{ADMIN}/passkeys").text
    # The six digits still work.
    third = app.test_client()
    clock.advance(minutes=1)
    fill(third, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    fill(third, f"{ADMIN}/which-factor", which="authenticator")
    fill(third, f"{ADMIN}/code", code=code(codes, clock))
    assert signed_in(third)
    assert lines(store, Act.PASSKEY_ADDED) == ["the phone"]


def test_an_owner_without_a_passkey_is_not_asked_for_one(app: Flask, clock: Clock, nora: str) -> None:
    client, other = app.test_client(), app.test_client()
    set_up(client, clock)
    assert "The six digits" in fill(other, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text


def test_an_answer_is_accepted_once(app: Flask, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    passkey = add_passkey(client)
    first, second = app.test_client(), app.test_client()
    page = asked(first)
    fill(second, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    fill(second, f"{ADMIN}/which-factor", which="webauthn")
    passkey.count = -1
    answer = passkey.answer(options_of(page))
    assert json.loads(answer)
    send(first, page, answer)
    assert signed_in(first)
    overheard = page.replace(token(page), token(second.get(f"{ADMIN}/passkey").text))
    assert NOT_TAKEN in send(second, overheard, answer).text
    assert not signed_in(second)


def test_another_owners_passkey_is_refused_with_the_right_password(
    app: Flask, store: Store, clock: Clock, nora: str
) -> None:
    with store.writing() as session:
        create_owner(session, "walter", PASSWORD, who="a test", now=OPPS_DAY)
    hers, his = app.test_client(), app.test_client()
    set_up(hers, clock, nora)
    set_up(his, clock, "walter")
    add_passkey(hers)
    walters = add_passkey(his)
    thief = app.test_client()
    page = asked(thief, nora)
    assert NOT_TAKEN in send(thief, page, walters.answer(options_of(page))).text
    assert not signed_in(thief)
    # Nor can two owners set it up.
    page = fill(hers, f"{ADMIN}/passkeys", name="his").text
    assert "set up already" in send(hers, page, walters.made(options_of(page))).text


@pytest.mark.parametrize(
    "wrong", ["another key", "another site", "another question", "counted back", "nothing", "no JSON", "[]", "{}"]
)
def test_a_wrong_answer_is_refused(app: Flask, store: Store, clock: Clock, nora: str, wrong: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    passkey = add_passkey(client)
    other = app.test_client()
    page = asked(other)
    options = options_of(page)
    match wrong:
        case "another key":
            stranger = SoftPasskey()
            stranger.id = passkey.id
            answer = stranger.answer(options)
        case "another site":
            passkey.origin = "http://sock.example"
            answer = passkey.answer(options)
        case "another question":
            answer = passkey.answer(options | {"challenge": "b25jZSBtb3Jl"})
        case "counted back":
            # A copy of the passkey that was used less often.
            send(other, page, passkey.answer(options))
            other = app.test_client()
            page = asked(other)
            passkey.count = 0
            answer = passkey.answer(options_of(page))
        case _:
            answer = {"nothing": "", "no JSON": "{"}.get(wrong, wrong)
    assert NOT_TAKEN in send(other, page, answer).text
    assert not signed_in(other)
    if wrong in {"another key", "another site", "another question", "counted back"}:
        assert lines(store, Act.SIGN_IN_FAILED) == ["wrong passkey"]
    assert nora


def test_too_many_wrong_answers_lock_the_owner_for_a_while(app: Flask, store: Store, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    passkey = add_passkey(client)
    other, stranger = app.test_client(), SoftPasskey()
    stranger.id = passkey.id
    for _ in range(MAX_FAILURES):
        page = asked(other)
        send(other, page, stranger.answer(options_of(page)))
    assert "locked" in lines(store, Act.SIGN_IN_FAILED)[-1]
    assert "wait a quarter" in fill(other, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
    clock.advance(minutes=16)
    page = asked(other)
    send(other, page, passkey.answer(options_of(page)))
    assert signed_in(other)


def test_a_passkey_has_a_name_of_its_own_and_can_be_removed(app: Flask, store: Store, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    passkey = add_passkey(client)
    for name, said in (
        ("", "Give it a name"),
        ("the phone", "give this one another name"),
        ("<b>", "made of letters"),
        ("x" * 65, "64 letters at most"),
    ):
        page = unescape(fill(client, f"{ADMIN}/passkeys", name=name).text)
        assert said in page, name
        assert f'value="{name}"' in page or not name or "<" in name
    assert (
        "There is no passkey the key"
        in fill(client, f"{ADMIN}/passkeys", f"{ADMIN}/passkeys/remove", name="the key").text
    )
    other = app.test_client()
    page = asked(other)
    done = fill(client, f"{ADMIN}/passkeys", f"{ADMIN}/passkeys/remove", name="the phone")
    assert "The passkey the phone is removed" in done.text
    assert NOT_TAKEN in send(other, page, passkey.answer(options_of(page))).text
    assert not signed_in(other)
    assert lines(store, Act.PASSKEY_REMOVED) == ["the phone"]
    assert nora


def test_without_the_passkey_the_digits_or_a_recovery_code_sign_in(app: Flask, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    add_passkey(client)
    spare = re.findall(r"<li><code>([^<]+)</code>", fill(client, f"{ADMIN}/recovery-codes").text)
    other = app.test_client()
    page = asked(other, nora)
    assert "/recovery" in page
    fill(other, f"{ADMIN}/recovery", code=spare[0])
    assert signed_in(other)
    third = app.test_client()
    fill(third, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    assert "/recovery" in fill(third, f"{ADMIN}/which-factor", which="authenticator").text
    fill(third, f"{ADMIN}/recovery", code=spare[1])
    assert signed_in(third)


def test_a_passkey_works_behind_a_proxy_that_ends_encryption(
    make_settings: Callable[..., Settings], store: Store
) -> None:
    whole = create_app(make_settings(site_url="https://socks.example"), store)
    # Caddy ends the encryption and passes the host name on.
    with whole.test_request_context("/", base_url="http://socks.example"):
        assert security_extension().webauthn_util.origin() == "https://socks.example"
    with whole.test_request_context("/", base_url="http://localhost:8000"):
        assert security_extension().webauthn_util.origin() == "http://localhost:8000"


def test_removing_a_lost_second_factor_removes_its_passkeys(app: Flask, store: Store, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    add_passkey(client)
    add_passkey(client, "the key")
    with store.writing() as session:
        owner = find_owner(session, nora)
        assert owner
        assert remove_second_factor(session, owner, who="a test", now=clock.now()) == 2
        assert session.scalars(select(OwnerPasskey)).all() == []
    assert not signed_in(client)


def test_passkey_pages_need_a_password_first(client: FlaskClient, nora: str) -> None:
    assert client.get(f"{ADMIN}/passkey").status_code == 404
    assert client.get(f"{ADMIN}/passkey-again").status_code == 404
    assert "/sign-in" in client.get(f"{ADMIN}/passkeys").headers["Location"]
    assert nora
