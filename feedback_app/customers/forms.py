"""The forms of the customers' pages."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import TypeVar

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from wtforms import BooleanField, DateField, HiddenField, RadioField, SelectChoice, StringField
from wtforms.validators import Optional, ValidationError

from feedback_app import clock
from feedback_app.customers.addresses import Address, BadAddress, BadName, clean_name
from feedback_app.customers.fields import AddressField
from feedback_app.customers.models import Frequency, LetterFormat, NameDisplay
from feedback_app.customers.subscriptions import SUBSCRIPTION_FREQUENCIES, SubscriptionRequest
from feedback_app.customers.topics import SUBSCRIBABLE, Topic
from feedback_app.customers.words import FORMAT_WORDS, FREQUENCY_WORDS, LANGUAGE_WORDS, NAME_DISPLAY_WORDS
from feedback_app.i18n import big

AnyEnum = TypeVar("AnyEnum", Frequency, LetterFormat, NameDisplay)
LONGEST_PAUSE = timedelta(days=3660)


def _choices(words: Mapping[AnyEnum, str]) -> list[SelectChoice]:
    return [SelectChoice(value=member.value, label=_(text)) for member, text in words.items()]


class AskForm(FlaskForm):
    """A form for the address to which a link is mailed."""

    email = AddressField(_("Your e-mail address"), required=_("Type the address that we write to."))


class NewAddressForm(FlaskForm):
    """A form for a customer's new address."""

    email = AddressField(_("Your new e-mail address"), required=_("Type the address that we should write to."))

    def __init__(self, old: Address) -> None:
        """`old` is the present address, which the new one must differ from."""
        super().__init__()
        self._old = old

    def validate_email(self, field: AddressField) -> None:
        """Check that the new address differs from the old one."""
        with suppress(BadAddress):
            if field.is_given and field.typed.key == self._old.key:
                message = gettext("That is the address that we write to already.")
                raise ValidationError(message)


class SubscribeForm(FlaskForm):
    """A form to subscribe: an address, topics and a frequency. Nothing is ticked beforehand."""

    email = AddressField(_("Your e-mail address"), required=_("Type the address that letters should go to."))
    frequency = RadioField(
        _("How often?"),
        choices=_choices({frequency: FREQUENCY_WORDS[frequency] for frequency in SUBSCRIPTION_FREQUENCIES}),
        default=Frequency.EACH,
    )

    @property
    def topics(self) -> list[BooleanField]:
        """The topics' checkboxes, in the order of the page."""
        return [self[topic.value] for topic in SUBSCRIBABLE]

    def subscription(self, language: str) -> SubscriptionRequest:
        """Return what was chosen, on a page in this language. Call after validation."""
        topics = tuple(topic for topic in SUBSCRIBABLE if self[topic.value].data)
        return SubscriptionRequest(topics, Frequency(self.frequency.data), language)


def _tick_one(form: SubscribeForm, _last: BooleanField) -> None:
    if not any(field.data for field in form.topics):
        message = gettext("Tick at least one.")
        raise ValidationError(message)


for _topic in SUBSCRIBABLE:
    # The last checkbox carries the error of all.
    _validators = [_tick_one] if _topic is SUBSCRIBABLE[-1] else []
    setattr(SubscribeForm, _topic.value, BooleanField(_(_topic.info.wording), _validators))


class DayField(DateField):
    """A field for a date. Its error message says how to write one."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read the date."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            message = gettext("That is not a day. Write it as year-month-day: 2007-12-31.")
            raise ValueError(message) from None


class PreferencesForm(FlaskForm):
    """A form with everything a customer can choose."""

    format = RadioField(_("How letters look"), choices=_choices(FORMAT_WORDS), default=LetterFormat.HTML)
    name_display = RadioField(
        _("How letters name me"), choices=_choices(NAME_DISPLAY_WORDS), default=NameDisplay.UNDISCLOSED
    )
    name = StringField(_("My name"))
    pause_until = DayField(_("Write nothing until"), validators=[Optional()])
    language = RadioField(_("Language of letters"))
    seen = HiddenField()

    def __init__(self, *, data: Mapping[str, object], languages: Sequence[str]) -> None:
        """Show the current choices. The language can be chosen if the shop has several."""
        super().__init__(data=data)
        if len(languages) > 1:
            self.language.choices = [SelectChoice(value=code, label=LANGUAGE_WORDS[code]) for code in languages]
            self.language.data = self.language.data or languages[0]
        else:
            del self.language
        self._kept_language = str(data["language"]) or None

    @property
    def chosen_language(self) -> str | None:
        """The chosen language of letters; None is the shop's own."""
        if "language" not in self:
            return self._kept_language
        chosen: str = self["language"].data
        return None if chosen == self["language"].choices[0].value else chosen

    def validate_name(self, field: StringField) -> None:
        """Check that the name can be used in a letter."""
        try:
            clean_name(field.data)
        except BadName as error:
            message = f"{big(gettext(str(error)))}."
            raise ValidationError(message) from None

    def validate_pause_until(self, field: DateField) -> None:
        """Check that the pause ends today or later, and within ten years."""
        today = clock.now().date()
        if field.data and field.data < today:
            message = gettext("A pause ends today or later.")
            raise ValidationError(message)
        if field.data and field.data > today + LONGEST_PAUSE:
            message = gettext("A pause lasts ten years at most. To get no letters at all, choose Never above.")
            raise ValidationError(message)

    def frequency(self, topic: Topic) -> Frequency:
        """Return what was chosen for a topic. Call after validation."""
        return Frequency(self[topic.value].data)

    @property
    def pause(self) -> date | None:
        """The date on which the pause ends, if any."""
        until: date | None = self.pause_until.data
        return until


for _topic in Topic:
    _field = RadioField(_(_topic.info.label), choices=_choices(FREQUENCY_WORDS), default=Frequency.NEVER)
    setattr(PreferencesForm, _topic.value, _field)
