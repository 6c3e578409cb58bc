"""The comment form."""

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from feedback_app.comments.markup import (
    LONGEST_TEXT,
    clean_text,
    comment_html,
    has_address,
    is_visible,
    visible_text,
)
from feedback_app.customers.addresses import Address
from feedback_app.customers.fields import AddressField

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
    email = AddressField(
        "Your e-mail address",
        otherwise="You can also leave it empty.",
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

    notify = BooleanField("Tell me by e-mail about answers to this comment")
    # When the form was opened, signed; and a field that only programs see.
    seal = HiddenField()
    website = StringField("Leave this empty")

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

    def validate_email(self, field: AddressField) -> None:
        """Whoever wants to be told says to which address."""
        if self.notify.data and not field.is_given:
            message = "To be told about answers, say to which address. It is shown to nobody."
            raise ValidationError(message)

    @property
    def address(self) -> Address | None:
        """The address that was given, if any; call after validation."""
        address: Address | None = self.email.address
        return address


class ChangeForm(FlaskForm):
    """Other words for a comment of one's own."""

    body = TextAreaField(
        "Your comment",
        validators=[
            InputRequired("There is no comment left. To take it back, delete it."),
            Length(max=LONGEST_TEXT, message=f"A comment has at most {LONGEST_TEXT:,} letters."),
        ],
        filters=[lambda value: clean_text(value or "")],
    )

    validate_body = CommentForm.validate_body


class MailLinkForm(FlaskForm):
    """The address that came with a comment, to which a link to it is mailed."""

    email = AddressField("Your e-mail address", required="Type the address you gave with it.")


class NoFieldsForm(FlaskForm):
    """A button, with nothing but its token."""
