"""Passkeys (Web Authentication): the challenge, and the forms that check the answer."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

from flask import request
from flask import session as cookie
from flask_security import WebAuthnRegisterForm, WebAuthnRegisterResponseForm, WebAuthnSigninResponseForm, WebauthnUtil
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from feedback_app.desk.models import MAX_PASSKEY_NAME_LENGTH
from feedback_app.desk.passkeys import accept_answer
from feedback_app.desk.sign_in.user_datastore import LOCKED
from feedback_app.web.app_state import app_state

CHALLENGE_KEY = "passkey_asked"
NOT_TAKEN = "This passkey was not taken: try once more, or sign in another way."
_NAMES = "A name is made of letters, digits, spaces and hyphens."
# Flask-Security's messages about passkeys.
MESSAGES = {
    "API_ERROR": ("Nothing came from the passkey: press the button once more.", "error"),
    "WEBAUTHN_EXPIRED": ("That took too long: press the button once more.", "error"),
    "WEBAUTHN_NAME_INUSE": ("There is a passkey %(name)s already: give this one another name.", "error"),
    "WEBAUTHN_NAME_NOT_FOUND": ("There is no passkey %(name)s.", "error"),
    "WEBAUTHN_NAME_DISALLOWED_CHARACTERS": (_NAMES, "error"),
    "INVALID_INPUT": (_NAMES, "error"),
    "WEBAUTHN_CREDENTIAL_DELETED": ("The passkey %(name)s is removed: it signs nobody in any more.", "info"),
    "WEBAUTHN_REGISTER_SUCCESSFUL": ("The passkey %(name)s is set up: try it the next time you sign in.", "info"),
    "WEBAUTHN_CREDENTIAL_ID_INUSE": ("This passkey is set up already.", "error"),
    "WEBAUTHN_NO_VERIFY": (NOT_TAKEN, "error"),
}


class PasskeyNameForm(WebAuthnRegisterForm):
    """The name of a new passkey."""

    name = StringField(
        "Its name",
        validators=[
            InputRequired("Give it a name by which you know it: the phone, say, or the blue key."),
            Length(max=MAX_PASSKEY_NAME_LENGTH, message="%(max)d letters at most."),
        ],
    )
    usage = StringField(default="secondary")


class PasskeyRequests(WebauthnUtil):
    """The challenges for passkeys."""

    def generate_challenge(self, nbytes: int | None = None) -> str:
        """Return a challenge that only this browser can answer, once: the session keeps its hash."""
        challenge: str = super().generate_challenge(nbytes)
        cookie[CHALLENGE_KEY] = _challenge_hash(challenge)
        return challenge

    def origin(self) -> str:
        """Return the origin that the browser signs: a proxy may have ended the encryption before the app."""
        site = app_state().settings.site_url
        return site if urlsplit(site).netloc == request.host else str(super().origin())


def _challenge_hash(challenge: str) -> str:
    return hashlib.sha256(challenge.encode()).hexdigest()[:32]


def _take_challenge(challenge: str) -> bool:
    """Return whether this is the browser's last challenge, and forget it."""
    return bool(cookie.pop(CHALLENGE_KEY, None) == _challenge_hash(challenge))


class NewPasskeyForm(WebAuthnRegisterResponseForm):
    """A new passkey, which must answer this browser's challenge."""

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Return whether the passkey can be stored."""
        if _take_challenge(self.challenge):
            return bool(super().validate(**kwargs))
        self.form_errors.append(NOT_TAKEN)
        return False


class PasskeyForm(WebAuthnSigninResponseForm):
    """A passkey's answer, accepted once, and only from the owner whose password was right."""

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Return whether the answer is right."""
        right = _take_challenge(self.challenge) and super().validate(**kwargs)
        right = right and not self.credential.errors and self._belongs_to_owner()
        if right and self.cred is not None:
            with app_state().store.writing() as session:
                right = accept_answer(session, self.cred.id, self.challenge)
        if not right and LOCKED not in self.credential.errors:
            self.credential.errors = [NOT_TAKEN]
        return right

    def _belongs_to_owner(self) -> bool:
        return self.user is not None and self.user.fs_uniquifier == cookie.get("tf_user_id")
