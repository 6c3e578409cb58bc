"""The forms of the preference pages."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from flask_wtf import FlaskForm
from wtforms import DateField, HiddenField, RadioField, SelectChoice, StringField
from wtforms.validators import InputRequired, Optional, ValidationError

from feedback_app import clock
from feedback_app.customers.addresses import Address, BadAddress, BadName, clean_name
from feedback_app.customers.models import Frequency, LetterFormat, NameDisplay, Topic

LONGEST_PAUSE = timedelta(days=3660)

FREQUENCIES = {
    Frequency.NEVER: "Never",
    Frequency.EACH: "Each time",
    Frequency.WEEKLY: "Weekly, in one letter",
    Frequency.MONTHLY: "Monthly, in one letter",
}
FORMATS = {LetterFormat.HTML: "With colours and links (HTML)", LetterFormat.TEXT: "Plain text"}
# Each in its own language: whoever looks for it can read it.
LANGUAGES = {"en": "English", "de": "Deutsch"}
NAMES = {
    NameDisplay.UNDISCLOSED: "Undisclosed: no name at all",
    NameDisplay.FIRST: "My first name",
    NameDisplay.FULL: "My full name",
}


def _choices(
    words: Mapping[Frequency, str] | Mapping[LetterFormat, str] | Mapping[NameDisplay, str],
) -> list[SelectChoice]:
    return [SelectChoice(value=value.value, label=label) for value, label in words.items()]


class PlainForm(FlaskForm):
    """A button: nothing but the form's own token."""


class AskForm(FlaskForm):
    """An address to which a link is mailed."""

    email = StringField("Your e-mail address", validators=[InputRequired("Type the address that we write to.")])

    def validate_email(self, field: StringField) -> None:
        """An address is one."""
        try:
            Address.parse(field.data or "")
        except BadAddress as error:
            message = f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}."
            raise ValidationError(message) from None


class DayField(DateField):
    """A day, or a word on how to write one."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the day."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            message = "That is not a day. Write it as year-month-day: 2007-12-31."
            raise ValueError(message) from None


class PreferencesForm(FlaskForm):
    """Everything a customer can choose."""

    specials = RadioField("Offers", choices=_choices(FREQUENCIES), default=Frequency.NEVER)
    news = RadioField("News from the blog", choices=_choices(FREQUENCIES), default=Frequency.NEVER)
    replies = RadioField("Answers to my comments", choices=_choices(FREQUENCIES), default=Frequency.NEVER)
    format = RadioField("How letters look", choices=_choices(FORMATS), default=LetterFormat.HTML)
    name_display = RadioField("How letters name me", choices=_choices(NAMES), default=NameDisplay.UNDISCLOSED)
    name = StringField("My name")
    pause_until = DayField("Write nothing until", validators=[Optional()])
    language = RadioField("Language of letters")
    seen = HiddenField()

    def __init__(self, *, data: Mapping[str, object], languages: Sequence[str]) -> None:
        """Show what is chosen; a language can be chosen where the shop has several."""
        super().__init__(data=data)
        if len(languages) > 1:
            self.language.choices = [SelectChoice(value=code, label=LANGUAGES[code]) for code in languages]
            self.language.data = self.language.data or languages[0]
        else:
            del self.language
        self._kept_language = str(data["language"]) or None

    @property
    def chosen_language(self) -> str | None:
        """The language of letters; None is the shop's own."""
        if "language" not in self:
            return self._kept_language
        chosen: str = self["language"].data
        return None if chosen == self["language"].choices[0].value else chosen

    def validate_name(self, field: StringField) -> None:
        """A name is one that can stand in a letter."""
        try:
            clean_name(field.data)
        except BadName as error:
            message = f"{str(error)[:1].upper()}{str(error)[1:]}."
            raise ValidationError(message) from None

    def validate_pause_until(self, field: DateField) -> None:
        """A pause ends some day, and not in the past."""
        today = clock.now().date()
        if field.data and field.data < today:
            message = "A pause ends today or later."
            raise ValidationError(message)
        if field.data and field.data > today + LONGEST_PAUSE:
            message = "A pause lasts ten years at most. To get no letters at all, choose Never above."
            raise ValidationError(message)

    def frequency(self, topic: Topic) -> Frequency:
        """What was chosen for a topic; call after validation."""
        return Frequency(self[topic.value].data)

    @property
    def pause(self) -> date | None:
        """When the pause ends."""
        until: date | None = self.pause_until.data
        return until
