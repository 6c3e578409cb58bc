"""Letters to the owner: what Flask-Security would mail leaves as a letter like every other, or not at all."""

import smtplib
from pathlib import Path

import flask_security
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_security import utils
from sqlalchemy import select

from feedback_app.config import Settings
from feedback_app.db import Store
from feedback_app.letter_requests import LetterRequest
from feedback_app.mailing.messages import Desk
from feedback_app.mailing.worker import mail_worker
from feedback_app.owner.accounts import Accounts
from feedback_app.owner.notices import Notices
from tests.conftest import SQLITE, Clock
from tests.owner.desk import ADMIN, PASSWORD, fill

# The queue is the same on every database.
pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)

OWNER = "owner@mongrelsocks.example"
TEMPLATES = sorted(
    path.stem for path in (Path(flask_security.__file__).parent / "templates/security/email").glob("*.txt")
)


def letters(settings: Settings, store: Store, desk: Desk) -> list[str]:
    """What the mailer makes of what is wanted now."""
    mine = settings.model_copy(update={"owner_email": OWNER})
    with mail_worker(store, mine, Desk(mine, desk.signer)) as worker:
        worker.work_once()
    return [path.read_text() for path in sorted((settings.instance / "outbox").glob("*.eml"))]


def test_a_changed_password_is_told_by_a_letter_of_the_house(
    at_work: FlaskClient, settings: Settings, store: Store, desk: Desk
) -> None:
    new = "another four words here"
    fill(at_work, f"{ADMIN}/password", password=PASSWORD, new_password=new, new_password_confirm=new)
    [letter] = letters(settings, store, desk)
    assert f"To: {OWNER}" in letter
    assert "Subject: nora has a new password" in letter
    assert "undisclosed owner password nora" in letter
    assert new not in letter


@pytest.mark.parametrize("template", TEMPLATES)
def test_nothing_that_flask_security_could_mail_leaves_by_another_way(
    app: Flask, store: Store, nora: str, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("something else mails")

    monkeypatch.setattr(smtplib, "SMTP", forbidden)
    monkeypatch.setattr(smtplib, "SMTP_SSL", forbidden)
    security = app.extensions["security"]
    assert isinstance(security.mail_util, Notices)
    assert not {"mail", "mailman"} & app.extensions.keys()
    # Its own words, with whatever they would have held, are dropped: a letter here has no secret in it.
    monkeypatch.setattr(security, "render_template", lambda *_, **__: "geheim@example.com 123456")
    with app.test_request_context():
        user = Accounts(app.extensions["undisclosed"]).find_user(username=nora)
        utils.send_mail("A subject", "somebody@example.com", f"security/email/{template}", user=user)
    with store.reading() as session:
        [request] = session.scalars(select(LetterRequest)).all()
    assert request.customer_id is None
    assert "example.com" not in str(request.details)
    assert "123456" not in str(request.details)


def test_without_an_owners_address_no_such_letter_is_made(
    at_work: FlaskClient, settings: Settings, store: Store, desk: Desk, clock: Clock
) -> None:
    new = "another four words here"
    fill(at_work, f"{ADMIN}/password", password=PASSWORD, new_password=new, new_password_confirm=new)
    with mail_worker(store, settings, desk) as worker:
        assert worker.work_once().singles == 0
    with store.reading() as session:
        [request] = session.scalars(select(LetterRequest)).all()
    assert (request.sent_at, request.gave_up) == (None, "no owner is set")
    assert clock.now()
