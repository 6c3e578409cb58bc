"""The command `undisclosed owner`: who may sign in, and what to do when a password or factor is lost."""

import json

import pytest
from flask import Flask

from feedback_app.config import Settings
from tests.support.clock import Clock
from tests.support.commands import typed
from tests.support.databases import SQLITE
from tests.support.passkey import add_passkey, signed_in
from tests.support.signing_in import ADMIN, PASSWORD, fill, set_up

# The database makes no difference here.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


def test_an_owner_is_made_and_listed(settings: Settings) -> None:
    said = typed(settings, "owner", "create", "nora", "--password-stdin", given=f"{PASSWORD}\n")
    assert said == "1 owner made: nora. Sign in at http://127.0.0.1:8000/feedback/admin/ .\n"
    assert typed(settings, "owner", "list") == "nora  without a second factor\n1 owner.\n"
    assert json.loads(typed(settings, "owner", "list", "--json")) == [
        {"username": "nora", "second_factor": False, "passkeys": 0}
    ]


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("nora", PASSWORD, "there is an owner nora already"),
        ("nora@example.com", PASSWORD, "small letters"),
        ("Walter", PASSWORD, "small letters"),
        ("walter", "short", "at least 12 letters"),
        ("walter", "", "at least 12 letters"),
    ],
)
def test_an_impossible_owner_is_refused_in_one_line(
    settings: Settings, nora: str, name: str, password: str, said: str
) -> None:
    output = typed(settings, "owner", "create", name, "--password-stdin", given=f"{password}\n", expect=1)
    assert said in output
    assert len(output.splitlines()) == 1
    assert typed(settings, "owner", "list").splitlines()[-1] == "1 owner."
    assert nora


def test_an_unknown_owner_is_refused(settings: Settings, nora: str) -> None:
    for command in (("forget-factor",), ("password", "--password-stdin")):
        output = typed(settings, "owner", *command, "walter", given=f"{PASSWORD}\n", expect=1)
        assert "there is no such owner" in output
    assert nora


def test_a_new_password_ends_every_session(app: Flask, settings: Settings, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    new = "quite another one"
    said = typed(settings, "owner", "password", nora, "--password-stdin", given=f"{new}\n")
    assert said == "1 password changed; every session of that owner has ended.\n"
    assert not signed_in(client)
    assert "do not belong together" in fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
    assert "The six digits" in fill(client, f"{ADMIN}/sign-in", username=nora, password=new).text


def test_a_lost_second_factor_is_removed_and_set_up_again(
    app: Flask, settings: Settings, clock: Clock, nora: str
) -> None:
    client = app.test_client()
    set_up(client, clock)
    add_passkey(client)
    add_passkey(client, "the key")
    assert typed(settings, "owner", "list") == "nora  with a second factor and 2 passkeys\n1 owner.\n"
    assert typed(settings, "owner", "forget-factor", nora) == (
        "1 second factor taken away, with 2 passkeys and the recovery codes; every session of that owner has ended.\n"
    )
    assert not signed_in(client)
    assert typed(settings, "owner", "list") == "nora  without a second factor\n1 owner.\n"
    assert "The second factor" in fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
