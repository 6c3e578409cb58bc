"""Forms of the sign-in pages."""

from typing import Any

from flask_security import LoginForm, TwoFactorRescueForm, TwoFactorSelectForm, TwoFactorSetupForm
from wtforms import RadioField, SelectChoice, StringField
from wtforms.validators import InputRequired

from feedback_app.desk.sign_in.second_factor_codes import security_extension
from feedback_app.desk.sign_in.user_datastore import LOCKED

NO_MATCH = "This user name and this password do not belong together."


class SignInForm(LoginForm):
    """User name and password; the error does not tell which of the two was wrong."""

    email = None
    remember = None
    username = StringField("User name", validators=[InputRequired("Say who you are.")])

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Return whether the password is the owner's."""
        self.ifield = self.username
        self.user = security_extension().datastore.find_user(username=self.username.data or "")
        if super().validate(**kwargs):
            return True
        if self.username.data and self.password.data and not self.csrf_token.errors:
            locked = LOCKED in self.username.errors
            self.username.errors, self.password.errors = [], []
            self.form_errors.append(LOCKED if locked else NO_MATCH)
        return False


class SecondFactorForm(TwoFactorSetupForm):
    """The choice of a second factor; the page offers one kind."""

    setup = StringField()


class RescueForm(TwoFactorRescueForm):
    """Never shown: recovery codes replace a lost phone."""

    help_setup = RadioField(choices=[SelectChoice(value="recovery_code", label="A recovery code")])


class ChooseFactorForm(TwoFactorSelectForm):
    """The choice between an owner's second factors; the page has a button for each."""

    which = StringField()
