"""Forms of the app's English pages: CSRF tokens, and letters that had to be guessed."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flask import request
from flask_wtf import FlaskForm
from wtforms.csrf.core import CSRFTokenField

from feedback_app.web.app_class import FormRequest

LONGEST_NUMBER = 15


# What PostgreSQL's integer can hold: asking for more is an error there, not an empty answer.
LARGEST_NUMBER = 2**31 - 1


# Of the letters that were guessed, so many are named.
MOST_GUESSED = 20


GUESSED = (
    "Some letters of this came in no way that can be read for certain (UTF-8): {}. Look it over, and send it again."
)


class _Token(CSRFTokenField):  # type: ignore[misc]  # WTForms ships no types
    """A form's token, which is only signed when somebody is shown it: most forms that were sent are done with."""

    @property
    def current_token(self) -> str:
        """The token for this reader."""
        return cast("str", self.csrf_impl.generate_csrf_token(self))

    @current_token.setter
    def current_token(self, token: str) -> None:
        """Not needed."""

    def process(self, *what: Any, **more: Any) -> None:  # noqa: ANN401 - the base's signature
        """Take the token that was sent."""
        super(CSRFTokenField, self).process(*what, **more)


class _Tokens(FlaskForm.Meta.csrf_class):  # type: ignore[misc]  # the same
    """Flask-WTF's own tokens."""

    field_class = _Token


class EnglishForm(FlaskForm):  # type: ignore[misc]  # the same
    """A form of a page that is in English, whatever its reader's browser asks for."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]  # the same
        """Its tokens; and no translations, which would be looked for in files for every form."""

        csrf_class = _Tokens
        # Whatever a configuration says; nothing looks it up for every form.
        csrf = True
        csrf_field_name = "csrf_token"

        def get_translations(self, form: object) -> None:
            """None: WTForms speaks English by itself."""

    def validate(self, extra_validators: Mapping[str, Sequence[object]] | None = None) -> bool:
        """Whether it can be taken; where letters of a field had to be guessed, only once they were looked over."""
        valid: bool = super().validate(extra_validators=extra_validators)
        guessed = cast("FormRequest", request).guessed
        for field in self if guessed else ():
            if letters := guessed.get(field.name):
                field.errors = [*field.errors, GUESSED.format(", ".join(letters[:MOST_GUESSED]))]
                valid = False
        return valid


class ButtonForm(EnglishForm):
    """A form of buttons: nothing but its token."""


def number_of(text: str) -> int | None:
    """The number that somebody sent, or None for anything that no row can have."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else 0
    return number if 0 < number <= LARGEST_NUMBER else None


def forged(form: FlaskForm) -> bool:
    """Whether a form came without its own token: from another page, or too late. Its fields are kept."""
    token = form["csrf_token"]
    return bool(token.errors)
