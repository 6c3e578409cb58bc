"""The comment form."""

from flask_wtf import FlaskForm
from wtforms import StringField, TextAreaField
from wtforms.validators import InputRequired, Length, Optional, ValidationError

from feedback_app.comments.markup import LONGEST_TEXT, clean_text
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
    email = StringField("Your e-mail address", validators=[Optional(), Length(max=320)])
    body = TextAreaField(
        "Your comment",
        validators=[
            InputRequired("There is no comment yet."),
            Length(max=LONGEST_TEXT, message=f"A comment has at most {LONGEST_TEXT:,} letters."),
        ],
    )

    def validate_author(self, field: StringField) -> None:
        """A name is more than invisible characters."""
        if not (field.data or "").strip():
            message = "Say what you'd like to be called."
            raise ValidationError(message)

    def validate_body(self, field: TextAreaField) -> None:
        """A comment is more than invisible characters."""
        if not clean_text(field.data or ""):
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
