"""Form fields that several packages use."""

from collections.abc import Callable, Sequence
from typing import Any

from flask_babel import get_locale, gettext
from wtforms import StringField
from wtforms.validators import InputRequired, ValidationError

from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.i18n import ENGLISH, big


def _sentence(reason: str) -> str:
    """Return why a text is not an address. The library's English reasons become a general one in other languages."""
    said = gettext(reason)
    if said == reason and str(get_locale()) != ENGLISH:
        said = gettext("this is not a valid address")
    return big(said)


class AddressField(StringField):
    """A field for an e-mail address. Its error message never repeats what was typed."""

    def __init__(
        self,
        label: str,
        *,
        required: str | None = None,
        otherwise: str = "",
        filters: Sequence[Callable[[str | None], str]] = (),
        **more: Any,  # noqa: ANN401 - what WTForms itself hands on
    ) -> None:
        """`required` is the message for an empty field (without it, empty is fine). `otherwise` ends each error."""
        validators = [InputRequired(required)] if required else []
        super().__init__(label, validators, filters=filters, **more)
        self._otherwise = f" {otherwise}" if otherwise else ""
        self._required = required is not None

    def post_validate(self, form: object, validation_stopped: bool) -> None:  # noqa: ARG002, FBT001 - the base's signature
        """Check that what was typed, if anything, is an address."""
        if validation_stopped or not (self._required or self.is_given):
            return
        try:
            Address.parse(self.data or "")
        except BadAddress as error:
            message = f"{_sentence(str(error).rstrip('.'))}.{self._otherwise}"
            raise ValidationError(message) from None

    @property
    def is_given(self) -> bool:
        """Whether anything was typed."""
        return bool((self.data or "").strip())

    @property
    def address(self) -> Address | None:
        """The address that was typed, if any; call after validation."""
        return Address.parse(self.data) if self.is_given else None

    @property
    def typed(self) -> Address:
        """The address that was typed into a field that requires one; call after validation. Raises BadAddress."""
        return Address.parse(self.data or "")
