"""The forms of signing in."""

from typing import Any

from flask_security import LoginForm, TwoFactorRescueForm, TwoFactorSelectForm, TwoFactorSetupForm
from wtforms import RadioField, SelectChoice, StringField
from wtforms.validators import InputRequired

from feedback_app.desk.sign_in.accounts import LOCKED
from feedback_app.desk.sign_in.codes import house_security

WRONG = "This user name and this password do not belong together."


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


class WhichForm(TwoFactorSelectForm):
    """Which of one's second factors; the page has a button for each."""

    which = StringField()
