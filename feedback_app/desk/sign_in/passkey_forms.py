"""What a passkey is asked, and the forms that take its answers."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

from flask import request
from flask import session as cookie
from flask_security import WebAuthnRegisterForm, WebAuthnRegisterResponseForm, WebAuthnSigninResponseForm, WebauthnUtil
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from feedback_app.desk.models import LONGEST_PASSKEY_NAME
from feedback_app.desk.passkeys import take_answer
from feedback_app.desk.sign_in.accounts import LOCKED
from feedback_app.web.app_state import app_state

ASKED = "passkey_asked"
NOT_TAKEN = "This passkey was not taken: try once more, or sign in another way."
_NAMES = "A name is made of letters, digits, spaces and hyphens."
# What is said of passkeys, in the house's words.
SAID = {
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
    """What a new passkey is called."""

    name = StringField(
        "Its name",
        validators=[
            InputRequired("Give it a name by which you know it: the phone, say, or the blue key."),
            Length(max=LONGEST_PASSKEY_NAME, message="%(max)d letters at most."),
        ],
    )
    usage = StringField(default="secondary")


class Passkeys(WebauthnUtil):
    """What a passkey is asked."""

    def generate_challenge(self, nbytes: int | None = None) -> str:
        """A question for this browser, and for its next answer alone."""
        challenge: str = super().generate_challenge(nbytes)
        cookie[ASKED] = _mark_of(challenge)
        return challenge

    def origin(self) -> str:
        """Where the browser says that it is: what stands before the app may have taken the encryption off."""
        site = app_state().settings.site_url
        return site if urlsplit(site).netloc == request.host else str(super().origin())


def _mark_of(challenge: str) -> str:
    return hashlib.sha256(challenge.encode()).hexdigest()[:32]


def _was_asked(challenge: str) -> bool:
    """Whether this browser was asked that, the last time it was asked something; an answer ends it."""
    return bool(cookie.pop(ASKED, None) == _mark_of(challenge))


class NewPasskeyForm(WebAuthnRegisterResponseForm):
    """A passkey that was made; only where it was asked for."""

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Whether it can be kept."""
        if _was_asked(self.challenge):
            return bool(super().validate(**kwargs))
        self.form_errors.append(NOT_TAKEN)
        return False


class PasskeyForm(WebAuthnSigninResponseForm):
    """What a passkey answered; taken once, and only from the owner whose password was right."""

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Whether it was right."""
        right = _was_asked(self.challenge) and super().validate(**kwargs)
        right = right and not self.credential.errors and self._is_theirs()
        if right and self.cred is not None:
            with app_state().store.writing() as session:
                right = take_answer(session, self.cred.id, self.challenge)
        if not right and LOCKED not in self.credential.errors:
            self.credential.errors = [NOT_TAKEN]
        return right

    def _is_theirs(self) -> bool:
        return self.user is not None and self.user.fs_uniquifier == cookie.get("tf_user_id")
