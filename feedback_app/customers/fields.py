"""Fields that forms of several slices have."""

from collections.abc import Callable, Sequence
from typing import Any

from flask_babel import get_locale, gettext
from wtforms import StringField
from wtforms.validators import InputRequired, ValidationError

from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.i18n import ENGLISH, big


def _sentence(reason: str) -> str:
    """Why an address is none. What a library says in English only is said in general elsewhere."""
    said = gettext(reason)
    if said == reason and str(get_locale()) != ENGLISH:
        said = gettext("this is not a valid address")
    return big(said)


class AddressField(StringField):
    """An e-mail address, or a word on what is wrong with it, which never repeats it."""

    def __init__(
        self,
        label: str,
        *,
        required: str | None = None,
        otherwise: str = "",
        filters: Sequence[Callable[[str | None], str]] = (),
        **more: Any,  # noqa: ANN401 - what WTForms itself hands on
    ) -> None:
        """Say what stands where nothing was typed; without `required`, nothing is fine. `otherwise` ends a refusal."""
        validators = [InputRequired(required)] if required else []
        super().__init__(label, validators, filters=filters, **more)
        self._otherwise = f" {otherwise}" if otherwise else ""
        self._required = required is not None

    def post_validate(self, form: object, validation_stopped: bool) -> None:  # noqa: ARG002, FBT001 - the base's signature
        """An address, if there is one, is one."""
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
