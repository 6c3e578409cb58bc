"""Forms of the app's English pages: CSRF tokens, and letters that had to be guessed."""

from collections.abc import Mapping, Sequence
from typing import cast

from flask import request
from flask_wtf import FlaskForm

from feedback_app.db.base import LARGEST_INTEGER
from feedback_app.web.app_class import FormRequest

# Python refuses to read numbers of thousands of digits, and no row needs this many.
MAX_DIGITS = 15
# An error message lists at most this many guessed letters.
MAX_GUESSED_SHOWN = 20
GUESSED = (
    "Some letters of this came in no way that can be read for certain (UTF-8): {}. Look it over, and send it again."
)


class EnglishForm(FlaskForm):  # type: ignore[misc]  # WTForms ships no types
    """A form of an English page, whatever language the browser asks for."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]  # the same
        """Flask-WTF's settings, without its translations."""

        def get_translations(self, form: object) -> None:
            """Return none: WTForms' own messages are English."""

    def validate(self, extra_validators: Mapping[str, Sequence[object]] | None = None) -> bool:
        """Return whether the form is valid. Guessed letters are an error, until the form is sent again as UTF-8."""
        valid: bool = super().validate(extra_validators=extra_validators)
        guessed = cast("FormRequest", request).guessed
        for field in self:
            if letters := guessed.get(field.name):
                field.errors = [*field.errors, GUESSED.format(", ".join(letters[:MAX_GUESSED_SHOWN]))]
                valid = False
        return valid


class ButtonForm(EnglishForm):
    """A form of buttons alone: its only field is the CSRF token."""


def parse_number(text: str) -> int | None:
    """Return a positive number from a form or a URL, or None for text that cannot be a row's number."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0
    return number if 0 < number <= LARGEST_INTEGER else None


def csrf_failed(form: FlaskForm) -> bool:
    """Return whether a form's CSRF token was missing, wrong or too old. The fields keep what was typed."""
    return bool(form["csrf_token"].errors)
