"""The forms of the preference pages."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta

from flask_babel import LazyString, gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import BooleanField, DateField, HiddenField, RadioField, SelectChoice, StringField
from wtforms.validators import Optional, ValidationError

from feedback_app import clock
from feedback_app.customers.addresses import Address, BadAddress, BadName, clean_name
from feedback_app.customers.consent import WORDINGS
from feedback_app.customers.fields import AddressField
from feedback_app.customers.models import Frequency, LetterFormat, NameDisplay, Topic
from feedback_app.customers.subscriptions import RHYTHMS, TOPICS, Wish
from feedback_app.i18n import big

LONGEST_PAUSE = timedelta(days=3660)

FREQUENCIES = {
    Frequency.NEVER: _("Never"),
    Frequency.EACH: _("Each time"),
    Frequency.WEEKLY: _("Weekly, in one letter"),
    Frequency.MONTHLY: _("Monthly, in one letter"),
}
FORMATS = {LetterFormat.HTML: _("With colours and links (HTML)"), LetterFormat.TEXT: _("Plain text")}
# Each in its own language: whoever looks for it can read it.
LANGUAGES = {"en": "English", "de": "Deutsch"}
NAMES = {
    NameDisplay.UNDISCLOSED: _("Undisclosed: no name at all"),
    NameDisplay.FIRST: _("My first name"),
    NameDisplay.FULL: _("My full name"),
}


def _choices(
    words: Mapping[Frequency, LazyString] | Mapping[LetterFormat, LazyString] | Mapping[NameDisplay, LazyString],
) -> list[SelectChoice]:
    return [SelectChoice(value=value.value, label=label) for value, label in words.items()]


class AskForm(FlaskForm):
    """An address to which a link is mailed."""

    email = AddressField(_("Your e-mail address"), required=_("Type the address that we write to."))


class NewAddressForm(FlaskForm):
    """Another address of the same person's."""

    email = AddressField(_("Your new e-mail address"), required=_("Type the address that we should write to."))

    def __init__(self, old: Address) -> None:
        """Know the address that is to be another."""
        super().__init__()
        self._old = old

    def validate_email(self, field: AddressField) -> None:
        """The new address is another one."""
        with suppress(BadAddress):
            if field.is_given and field.typed.key == self._old.key:
                message = gettext("That is the address that we write to already.")
                raise ValidationError(message)


class SubscribeForm(FlaskForm):
    """An address, and what its owner would like to hear about, and how often. Nothing is ticked beforehand."""

    email = AddressField(_("Your e-mail address"), required=_("Type the address that letters should go to."))
    specials = BooleanField(_(WORDINGS[Topic.SPECIALS]))
    news = BooleanField(_(WORDINGS[Topic.NEWS]))
    frequency = RadioField(
        _("How often?"),
        choices=[SelectChoice(value=rhythm.value, label=FREQUENCIES[rhythm]) for rhythm in RHYTHMS],
        default=Frequency.EACH,
    )

    def validate_news(self, field: BooleanField) -> None:
        """Something is chosen."""
        if not field.data and not self.specials.data:
            message = gettext("Tick at least one.")
            raise ValidationError(message)

    def wish(self, language: str) -> Wish:
        """What was chosen, on a page in this language; call after validation."""
        topics = tuple(topic for topic in TOPICS if self[topic.value].data)
        return Wish(topics, Frequency(self.frequency.data), language)


class DayField(DateField):
    """A day, or a word on how to write one."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the day."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            message = gettext("That is not a day. Write it as year-month-day: 2007-12-31.")
            raise ValueError(message) from None


class PreferencesForm(FlaskForm):
    """Everything a customer can choose."""

    specials = RadioField(_("Offers"), choices=_choices(FREQUENCIES), default=Frequency.NEVER)
    news = RadioField(_("News from the blog"), choices=_choices(FREQUENCIES), default=Frequency.NEVER)
    replies = RadioField(_("Answers to my comments"), choices=_choices(FREQUENCIES), default=Frequency.NEVER)
    format = RadioField(_("How letters look"), choices=_choices(FORMATS), default=LetterFormat.HTML)
    name_display = RadioField(_("How letters name me"), choices=_choices(NAMES), default=NameDisplay.UNDISCLOSED)
    name = StringField(_("My name"))
    pause_until = DayField(_("Write nothing until"), validators=[Optional()])
    language = RadioField(_("Language of letters"))
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
            message = f"{big(gettext(str(error)))}."
            raise ValidationError(message) from None

    def validate_pause_until(self, field: DateField) -> None:
        """A pause ends some day, and not in the past."""
        today = clock.now().date()
        if field.data and field.data < today:
            message = gettext("A pause ends today or later.")
            raise ValidationError(message)
        if field.data and field.data > today + LONGEST_PAUSE:
            message = gettext("A pause lasts ten years at most. To get no letters at all, choose Never above.")
            raise ValidationError(message)

    def frequency(self, topic: Topic) -> Frequency:
        """What was chosen for a topic; call after validation."""
        return Frequency(self[topic.value].data)

    @property
    def pause(self) -> date | None:
        """When the pause ends."""
        until: date | None = self.pause_until.data
        return until
