"""The owner signs in with a password and a second factor, decides, and leaves."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from feedback_app.audit import Act, AuditLine
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.config import Moderation
from feedback_app.db import Store
from feedback_app.owner.models import Owner, OwnerSession
from feedback_app.owner.services import MOST_FAILURES, OwnerRefused, create_owner
from tests.comments.talk import OPPS, publish, say
from tests.conftest import OPPS_DAY, SQLITE, Clock
from tests.owner.desk import ADMIN, PASSWORD, code, fill, set_up

# Signing in is the same on every database.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


def signed_in(client: FlaskClient) -> bool:
    return client.get(f"{ADMIN}/account").status_code == 200


def test_nobody_sees_the_owners_pages_without_signing_in(client: FlaskClient) -> None:
    for path in ("/", "/account", "/log"):
        answer = client.get(ADMIN + path)
        assert answer.status_code == 302
        assert "/sign-in" in answer.headers["Location"]


def test_the_owner_signs_in_and_a_code_is_taken_once(app: Flask, store: Store, clock: Clock, nora: str) -> None:
    first, second = app.test_client(), app.test_client()
    codes = set_up(first, clock)
    assert signed_in(first)
    with store.reading() as session:
        kept = session.scalars(select(Owner).where(Owner.username == nora)).one()
        assert kept.totp_secret
        assert (codes.base32_key or "").encode() not in kept.totp_secret
    fill(second, f"{ADMIN}/sign-in", username="nora", password=PASSWORD)
    assert "used already" in fill(second, f"{ADMIN}/code", code=code(codes, clock)).text
    assert not signed_in(second)
    clock.advance(seconds=60)
    fill(second, f"{ADMIN}/code", code=code(codes, clock))
    assert signed_in(second)


def test_a_wrong_password_is_not_told_from_a_wrong_name_and_too_many_lock(
    client: FlaskClient, store: Store, clock: Clock, nora: str
) -> None:
    said = [
        fill(client, f"{ADMIN}/sign-in", username=name, password="nothing that is right").text for name in (nora, "eve")
    ]
    assert all("do not belong together" in page for page in said)
    for _ in range(MOST_FAILURES):
        fill(client, f"{ADMIN}/sign-in", username=nora, password="nothing that is right")
    assert "wait a quarter" in fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
    clock.advance(minutes=16)
    assert "The second factor" in fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
    with store.reading() as session:
        failed = select(AuditLine).where(AuditLine.act == Act.SIGN_IN_FAILED)
        assert len(session.scalars(failed).all()) == MOST_FAILURES + 1


def test_a_cookie_is_worth_nothing_after_its_session_has_ended(
    app: Flask, store: Store, clock: Clock, nora: str
) -> None:
    client = app.test_client()
    set_up(client, clock)
    thief = app.test_client()
    stolen = client.get_cookie("undisclosed")
    assert stolen
    thief.set_cookie("undisclosed", stolen.value)
    assert signed_in(thief)
    fill(client, f"{ADMIN}/leave", f"{ADMIN}/sign-out")
    assert not signed_in(client)
    assert not signed_in(thief)
    with store.reading() as session:
        assert session.scalars(select(OwnerSession)).all() == []
    assert nora


def test_a_recovery_code_signs_in_once(app: Flask, clock: Clock, nora: str) -> None:
    client = app.test_client()
    set_up(client, clock)
    spare = re.findall(r"<li><code>([^<]+)</code>", fill(client, f"{ADMIN}/recovery-codes").text)
    assert len(spare) == 10
    for expected in (True, False):
        other = app.test_client()
        fill(other, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
        fill(other, f"{ADMIN}/recovery", code=spare[0])
        assert signed_in(other) is expected


def test_the_owner_decides_on_several_at_once_and_the_log_tells(
    app: Flask, store: Store, clock: Clock, nora: str
) -> None:
    publish(store, OPPS)
    waiting = [say(store, text, moderation=Moderation.ALL) for text in ("First.", "Second.", "Third.")]
    client = app.test_client()
    set_up(client, clock)
    chosen = [str(comment.id) for comment in waiting[:2]]
    assert "2 comments: approved." in fill(client, f"{ADMIN}/", action="approve", comment=chosen).text
    forged = client.post(f"{ADMIN}/", data={"csrf_token": "forged", "action": "delete", "comment": chosen})
    assert forged.status_code == 400
    with store.reading() as session:
        found = [session.get_one(Comment, comment.id).status for comment in waiting]
    assert found == [CommentStatus.APPROVED, CommentStatus.APPROVED, CommentStatus.PENDING]
    assert f"comment {chosen[0]} on Opps!: approved" in client.get(f"{ADMIN}/log").text
    assert nora


def test_an_owner_is_no_address_and_no_short_password(store: Store) -> None:
    for name, password in (("nora@example.com", PASSWORD), ("nora", "short")):
        with pytest.raises(OwnerRefused), store.writing() as session:
            create_owner(session, name, password, who="a test", now=OPPS_DAY)
