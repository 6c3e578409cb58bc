"""Letters to the owner: sign-in notices, and waiting comments with links to decide on them."""

import re
import smtplib
from email import message_from_string, policy
from pathlib import Path

import flask_security
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_security import utils
from sqlalchemy import select

from feedback_app.audit_log import Act, newest_lines
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.comments.moderation_mail import queue_letters
from feedback_app.comments.services import change_text
from feedback_app.config import Moderation, Settings
from feedback_app.db.store import Store
from feedback_app.desk.sign_in.security_mail import QueuedMail
from feedback_app.desk.sign_in.user_datastore import AccountDatastore
from feedback_app.letter_queue import LetterRequest
from feedback_app.mailing.delivery.worker import mail_worker
from feedback_app.mailing.letters.context import LetterContext
from tests.support.clock import Clock
from tests.support.comments import OPPS, publish, say, set_status
from tests.support.databases import SQLITE
from tests.support.signing_in import ADMIN, PASSWORD, fill, token

# The database makes no difference here.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

OWNER = "owner@mongrelsocks.example"
LINK = re.compile(r"/feedback/moderate/[\w-]+")
TEMPLATES = sorted(
    path.stem for path in (Path(flask_security.__file__).parent / "templates/security/email").glob("*.txt")
)


def letters(settings: Settings, store: Store, desk: LetterContext) -> list[str]:
    """Return the letters that the mailer sends now."""
    mine = settings.model_copy(update={"owner_email": OWNER})
    with mail_worker(store, mine, LetterContext(mine, desk.signer)) as worker:
        worker.work_once()
    return [path.read_text() for path in sorted((settings.instance / "outbox").glob("*.eml"))]


def test_a_changed_password_is_reported_by_a_letter(
    at_work: FlaskClient, settings: Settings, store: Store, desk: LetterContext
) -> None:
    new = "another four words here"
    fill(at_work, f"{ADMIN}/password", password=PASSWORD, new_password=new, new_password_confirm=new)
    [letter] = letters(settings, store, desk)
    assert f"To: {OWNER}" in letter
    assert "Subject: nora has a new password" in letter
    assert "undisclosed owner password nora" in letter
    assert new not in letter


def test_an_owners_letter_is_marked_as_english_whatever_the_shop_speaks(
    at_work: FlaskClient, settings: Settings, store: Store, desk: LetterContext
) -> None:
    new = "another four words here"
    fill(at_work, f"{ADMIN}/password", password=PASSWORD, new_password=new, new_password_confirm=new)
    [letter] = letters(settings.model_copy(update={"languages": ("de", "en")}), store, desk)
    assert '<html lang=3D"en">' in letter


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_mail_of_flask_security_becomes_a_letter(
    app: Flask, store: Store, nora: str, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("something else mails")

    monkeypatch.setattr(smtplib, "SMTP", forbidden)
    monkeypatch.setattr(smtplib, "SMTP_SSL", forbidden)
    security = app.extensions["security"]
    assert isinstance(security.mail_util, QueuedMail)
    assert not {"mail", "mailman"} & app.extensions.keys()
    # Its own text is dropped, with any secret in it.
    monkeypatch.setattr(security, "render_template", lambda *_, **__: "geheim@example.com 123456")
    with app.test_request_context():
        user = AccountDatastore(app.extensions["undisclosed"]).find_user(username=nora)
        utils.send_mail("A subject", "somebody@example.com", f"security/email/{template}", user=user)
    with store.reading() as session:
        [request] = session.scalars(select(LetterRequest)).all()
    assert request.customer_id is None
    assert "example.com" not in str(request.details)
    assert "123456" not in str(request.details)


def test_without_an_owners_address_no_such_letter_is_made(
    at_work: FlaskClient, settings: Settings, store: Store, desk: LetterContext, clock: Clock
) -> None:
    new = "another four words here"
    fill(at_work, f"{ADMIN}/password", password=PASSWORD, new_password=new, new_password_confirm=new)
    with mail_worker(store, settings, desk) as worker:
        assert worker.work_once().singles == 0
    with store.reading() as session:
        [request] = session.scalars(select(LetterRequest)).all()
    assert (request.sent_at, request.gave_up) == (None, "no owner is set")
    assert clock.now()


# Waiting comments


def wait(store: Store, clock: Clock, words: str = "Odd socks.") -> Comment:
    return say(store, words, moderation=Moderation.ALL, address="nora@example.com", now=clock.now())


def links(letter: str) -> list[str]:
    """Return the links of a letter, in its order: approve, reject, spam, delete."""
    body = message_from_string(letter, policy=policy.default).get_body(("plain",))
    assert body
    return LINK.findall(body.get_content())


def test_the_owner_is_told_of_each_waiting_comment_without_addresses(
    settings: Settings, store: Store, desk: LetterContext, clock: Clock
) -> None:
    publish(store, OPPS)
    wait(store, clock, "Write to walter@example.org, [here](https://example.com/socks).")
    say(store, "This one does not wait.")
    [letter] = letters(settings, store, desk)
    assert f"To: {OWNER}" in letter
    assert "Subject: A comment waits: Opps!" in letter
    assert "there is an address in it" in letter
    assert "https://example.com/socks" in letter
    assert "nora@" not in letter
    assert "walter@" not in letter
    # Only once, however often the mailer runs.
    assert len(letters(settings, store, desk)) == 1


def test_a_link_shows_a_comment_and_its_button_decides_once(
    client: FlaskClient, settings: Settings, store: Store, desk: LetterContext, clock: Clock
) -> None:
    publish(store, OPPS)
    waits, other = wait(store, clock), wait(store, clock, "Another one.")
    approve, reject, *_ = links(letters(settings, store, desk)[0])

    def status(comment: Comment) -> CommentStatus:
        with store.reading() as session:
            return session.get_one(Comment, comment.id).status

    page = client.get(approve).text
    assert "Approve this comment?" in page
    assert "Odd socks." in page
    assert client.post(approve).status_code == 400
    assert status(waits) is CommentStatus.PENDING
    seen = re.search(r'name="seen" value="([^"]+)"', page)
    assert seen
    form = {"csrf_token": token(page), "seen": seen[1]}
    # Its author changes it meanwhile: the owner must not approve unseen words.
    with store.writing() as session:
        change_text(session, session.get_one(Comment, waits.id), "Buy pills.", now=clock.advance(seconds=1))
    assert "Look at it again" in client.post(approve, data=form).text
    assert status(waits) is CommentStatus.PENDING
    again = re.search(r'name="seen" value="([^"]+)"', client.get(approve).text)
    assert again
    assert "is approved" in client.post(approve, data=form | {"seen": again[1]}).text
    assert (status(waits), status(other)) == (CommentStatus.APPROVED, CommentStatus.PENDING)
    assert "waits no more" in client.get(reject).text
    assert "waits no more" in client.post(reject, data=form).text
    assert status(waits) is CommentStatus.APPROVED
    with store.reading() as session:
        [line] = newest_lines(session)
    assert (line.who, line.act) == ("a letter's link", Act.DECIDED)


def test_an_old_or_cut_link_or_one_for_another_purpose_does_nothing(
    client: FlaskClient, settings: Settings, store: Store, desk: LetterContext, clock: Clock
) -> None:
    publish(store, OPPS)
    wait(store, clock)
    approve = links(letters(settings, store, desk)[0])[0]
    other = desk.preferences_link(1, clock.now()).rpartition("/")[2]
    for path in (approve[:-1], "/feedback/moderate/", f"/feedback/moderate/{other}"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert "Nothing was done" in answer.text
    clock.advance(days=9)
    assert "older than it may be" in client.get(approve).text


def test_many_comments_come_in_one_letter_and_at_most_one_an_hour(
    settings: Settings, store: Store, desk: LetterContext, clock: Clock
) -> None:
    publish(store, OPPS)
    for number in range(5):
        wait(store, clock, f"Comment {number}.")
    assert len(letters(settings, store, desk)) == 5
    clock.advance(minutes=10)
    for number in range(30):
        wait(store, clock, f"Flood {number}.")
    sent = letters(settings, store, desk)
    assert len(sent) == 6
    [digest] = [letter for letter in sent if "Subject: 35 comments wait" in letter]
    assert len(links(digest)) == 20 * 4
    assert "And 15 more." in digest
    clock.advance(minutes=40)
    wait(store, clock, "After the flood.")
    assert len(letters(settings, store, desk)) == 6
    clock.advance(minutes=21)
    assert len(letters(settings, store, desk)) == 7


def test_a_comment_decided_before_the_letter_leaves_is_not_in_it(
    settings: Settings, store: Store, desk: LetterContext, clock: Clock
) -> None:
    publish(store, OPPS)
    comment = wait(store, clock)
    with store.writing() as session:
        assert queue_letters(session, now=clock.now()) == 1
    set_status(store, CommentStatus.SPAM, comment)
    assert letters(settings, store, desk) == []
