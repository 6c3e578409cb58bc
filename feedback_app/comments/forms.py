"""The comment form."""

from flask_wtf import FlaskForm
from wtforms import StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional, ValidationError

from feedback_app.comments.markup import (
    LONGEST_TEXT,
    clean_text,
    comment_html,
    has_address,
    is_visible,
    visible_text,
)
from feedback_app.customers.addresses import Address, BadAddress

LONGEST_NAME = 80


class CommentForm(FlaskForm):
    """Name, address (optional, never shown) and text."""

    author = StringField(
        "Your name",
        validators=[
            InputRequired("Say what you'd like to be called."),
            Length(max=LONGEST_NAME, message=f"A name has at most {LONGEST_NAME} letters."),
        ],
        filters=[lambda value: " ".join(clean_text(value or "").split())],
    )
    email = StringField(
        "Your e-mail address",
        validators=[Optional(), Length(max=320, message="An address is shorter than that.")],
        filters=[lambda value: clean_text(value or "")],
    )
    body = TextAreaField(
        "Your comment",
        validators=[
            InputRequired("There is no comment yet."),
            Length(max=LONGEST_TEXT, message=f"A comment has at most {LONGEST_TEXT:,} letters."),
        ],
        filters=[lambda value: clean_text(value or "")],
    )

    def validate_author(self, field: StringField) -> None:
        """A name is more than invisible characters, and no address: everybody sees it."""
        if not is_visible(field.data):
            message = "Say what you'd like to be called."
            raise ValidationError(message)
        if has_address(field.data):
            message = "Everybody sees your name: leave the address out of it."
            raise ValidationError(message)

    def validate_body(self, field: TextAreaField) -> None:
        """A comment is more than invisible characters and signs that format nothing."""
        if not is_visible(visible_text(comment_html(field.data[:LONGEST_TEXT]))):
            message = "There is no comment yet."
            raise ValidationError(message)

    def validate_email(self, field: StringField) -> None:
        """An address, if there is one, is one."""
        try:
            Address.parse(field.data or "")
        except BadAddress as error:
            message = f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}. You can also leave it empty."
            raise ValidationError(message) from None

    @property
    def address(self) -> Address | None:
        """The address that was given, if any; call after validation."""
        return Address.parse(self.email.data) if (self.email.data or "").strip() else None
