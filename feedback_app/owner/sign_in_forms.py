"""The forms of signing in."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

from flask import request
from flask import session as cookie
from flask_security import (
    LoginForm,
    TwoFactorRescueForm,
    TwoFactorSelectForm,
    TwoFactorSetupForm,
    WebAuthnRegisterForm,
    WebAuthnRegisterResponseForm,
    WebAuthnSigninResponseForm,
    WebauthnUtil,
)
from wtforms import RadioField, SelectChoice, StringField
from wtforms.validators import InputRequired, Length

from feedback_app.owner.accounts import LOCKED
from feedback_app.owner.codes import house_security
from feedback_app.owner.models import LONGEST_PASSKEY_NAME
from feedback_app.owner.passkeys import take_answer
from feedback_app.web import house

WRONG = "This user name and this password do not belong together."
ASKED = "passkey_asked"
NOT_TAKEN = "This passkey was not taken: try once more, or sign in another way."


class SignInForm(LoginForm):
    """User name and password; which of the two was wrong is not said."""

    email = None
    remember = None
    username = StringField("User name", validators=[InputRequired("Say who you are.")])

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Whether they belong together."""
        self.ifield = self.username
        self.user = house_security().datastore.find_user(username=self.username.data or "")
        if super().validate(**kwargs):
            return True
        if self.username.data and self.password.data and not self.csrf_token.errors:
            locked = LOCKED in self.username.errors
            self.username.errors, self.password.errors = [], []
            self.form_errors.append(LOCKED if locked else WRONG)
        return False


class FactorForm(TwoFactorSetupForm):
    """Which second factor: there is one kind."""

    setup = StringField()


class RescueForm(TwoFactorRescueForm):
    """Never shown: without a phone, there are recovery codes."""

    help_setup = RadioField(choices=[SelectChoice(value="recovery_code", label="A recovery code")])


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


class WhichForm(TwoFactorSelectForm):
    """Which of one's second factors; the page has a button for each."""

    which = StringField()


class Passkeys(WebauthnUtil):
    """What a passkey is asked."""

    def generate_challenge(self, nbytes: int | None = None) -> str:
        """A question for this browser, and for its next answer alone."""
        challenge: str = super().generate_challenge(nbytes)
        cookie[ASKED] = _mark_of(challenge)
        return challenge

    def origin(self) -> str:
        """Where the browser says that it is: what stands before the app may have taken the encryption off."""
        site = house().settings.site_url
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
            with house().store.writing() as session:
                right = take_answer(session, self.cred.id, self.challenge)
        if not right and LOCKED not in self.credential.errors:
            self.credential.errors = [NOT_TAKEN]
        return right

    def _is_theirs(self) -> bool:
        return self.user is not None and self.user.fs_uniquifier == cookie.get("tf_user_id")
