"""The owner signs in with a password and a second factor, decides, and signs out."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from passlib.totp import TOTP
from sqlalchemy import select

from feedback_app.audit_log import Act, AuditLine
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.config import Moderation
from feedback_app.db.store import Store
from feedback_app.desk.models import Owner, OwnerSession
from feedback_app.desk.services import MAX_FAILURES, OwnerRefused, create_owner
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import OPPS, publish, say
from tests.support.databases import SQLITE
from tests.support.signing_in import ADMIN, PASSWORD, code, fill, set_up, token

# The database makes no difference here.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


def signed_in(client: FlaskClient) -> bool:
    return client.get(f"{ADMIN}/account").status_code == 200


def test_the_owners_pages_need_a_sign_in(client: FlaskClient) -> None:
    for path in ("/", "/account", "/log"):
        answer = client.get(ADMIN + path)
        assert answer.status_code == 302
        assert "/sign-in" in answer.headers["Location"]


def test_the_owner_signs_in_and_a_code_is_accepted_once(app: Flask, store: Store, clock: Clock, nora: str) -> None:
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


def test_a_wrong_password_looks_like_a_wrong_name_and_too_many_lock(
    client: FlaskClient, store: Store, clock: Clock, nora: str
) -> None:
    said = [
        fill(client, f"{ADMIN}/sign-in", username=name, password="nothing that is right").text for name in (nora, "eve")
    ]
    assert all("do not belong together" in page for page in said)
    for _ in range(MAX_FAILURES):
        fill(client, f"{ADMIN}/sign-in", username=nora, password="nothing that is right")
    assert "wait a quarter" in fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
    clock.advance(minutes=16)
    assert "The second factor" in fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD).text
    with store.reading() as session:
        failed = select(AuditLine).where(AuditLine.act == Act.SIGN_IN_FAILED)
        assert len(session.scalars(failed).all()) == MAX_FAILURES + 1


def test_a_cookie_is_worthless_after_its_session_has_ended(app: Flask, store: Store, clock: Clock, nora: str) -> None:
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


def test_the_owner_decides_on_several_comments_and_the_log_records_it(
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


def test_an_address_as_user_name_and_a_short_password_are_refused(store: Store) -> None:
    for name, password in (("nora@example.com", PASSWORD), ("nora", "short")):
        with pytest.raises(OwnerRefused), store.writing() as session:
            create_owner(session, name, password, who="a test", now=OPPS_DAY)


def looked_at(app: Flask) -> list[str]:
    """Return the URLs of the sign-in and account pages that answer GET."""
    rules = (rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("security."))
    return sorted({rule.rule for rule in rules if "GET" in (rule.methods or set()) and not rule.arguments})


def test_reading_a_page_never_signs_the_owner_out(app: Flask, at_work: FlaskClient, store: Store) -> None:
    assert {f"{ADMIN}/code", f"{ADMIN}/which-factor", f"{ADMIN}/passkey"} <= set(looked_at(app))
    before = record(store)
    for path in looked_at(app):
        for method in ("GET", "HEAD"):
            assert at_work.open(path, method=method, follow_redirects=True).status_code in {200, 404}, path
        assert signed_in(at_work), path
    assert at_work.get(f"{ADMIN}/code").headers["Location"] == f"{ADMIN}/"
    assert record(store) == before


def record(store: Store) -> list[Act]:
    with store.reading() as session:
        return list(session.scalars(select(AuditLine.act).order_by(AuditLine.id)))


def test_sending_the_digits_again_from_another_window_keeps_the_sign_in(app: Flask, clock: Clock, nora: str) -> None:
    client = app.test_client()
    codes = set_up(client, clock)
    fill(client, f"{ADMIN}/leave", f"{ADMIN}/sign-out")
    clock.advance(minutes=1)
    fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    form = {"csrf_token": token(client.get(f"{ADMIN}/code").text), "code": code(codes, clock)}
    for _ in range(2):
        assert client.post(f"{ADMIN}/code", data=form).headers["Location"] == f"{ADMIN}/"
        assert signed_in(client)


def test_leaving_the_second_factor_for_another_page_does_not_restart_it(app: Flask, clock: Clock, nora: str) -> None:
    client = app.test_client()
    fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    page = fill(client, f"{ADMIN}/second-factor", setup="authenticator").text
    key = re.search(r'class="key">([^<]+)<', page)
    assert key
    codes = TOTP(key=key[1])
    for path in ("/", *(path.removeprefix(ADMIN) for path in looked_at(app))):
        client.get(ADMIN + path, follow_redirects=True)
    form = {"csrf_token": token(page), "code": code(codes, clock)}
    assert client.post(f"{ADMIN}/code", data=form).headers["Location"] == f"{ADMIN}/"
    assert signed_in(client)
    fill(client, f"{ADMIN}/leave", f"{ADMIN}/sign-out")
    clock.advance(minutes=1)
    fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    client.get(f"{ADMIN}/account", follow_redirects=True)
    fill(client, f"{ADMIN}/code", code=code(codes, clock))
    assert signed_in(client)


def test_a_second_factor_without_a_password_starts_at_the_sign_in(client: FlaskClient, nora: str) -> None:
    assert "sign in from the start" in client.get(f"{ADMIN}/code", follow_redirects=True).text
    assert nora


@pytest.mark.parametrize("who", ["nobody", "half way", "nora"])
def test_no_page_of_the_desk_may_be_cached(app: Flask, clock: Clock, nora: str, who: str) -> None:
    client = app.test_client()
    if who == "half way":
        fill(client, f"{ADMIN}/sign-in", username=nora, password=PASSWORD)
    if who == "nora":
        set_up(client, clock, nora)
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith(f"{ADMIN}/")]
    pages = [rule for rule in rules if "GET" in (rule.methods or set()) and not rule.arguments]
    assert len(pages) > 15
    for rule in pages:
        answer = client.get(rule.rule)
        assert answer.headers.getlist("Cache-Control") == ["no-store"], rule.rule
        assert answer.headers.getlist("X-Robots-Tag") == ["noindex, nofollow"], rule.rule
    for rule in rules:
        for form in ({}, {"csrf_token": "forged"}):
            path = rule.rule.replace("<int:number>", "1").replace("<token>", "x")
            assert client.post(path, data=form).headers.getlist("Cache-Control") == ["no-store"], rule.rule
