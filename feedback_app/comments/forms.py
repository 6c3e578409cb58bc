"""The comment form."""

from wtforms import BooleanField, StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from feedback_app.comments.markup.sanitizer import (
    LONGEST_TEXT,
    clean_text,
    comment_html,
    has_address,
    is_visible,
    says_anything,
)
from feedback_app.customers.addresses import Address
from feedback_app.customers.fields import AddressField
from feedback_app.web.forms import EnglishForm

LONGEST_NAME = 80


def name_field(label: str, *, missing: str) -> StringField:
    """Whose comment it is."""
    return StringField(
        label,
        validators=[
            InputRequired(missing),
            Length(max=LONGEST_NAME, message=f"A name has at most {LONGEST_NAME} letters."),
        ],
        filters=[lambda value: " ".join(clean_text(value or "").split())],
    )


def words_field(label: str, *, missing: str) -> TextAreaField:
    """What it says: more than invisible characters, and signs that format nothing."""

    def says_something(_form: object, field: TextAreaField) -> None:
        if not says_anything(comment_html(field.data[:LONGEST_TEXT])):
            raise ValidationError(missing)

    return TextAreaField(
        label,
        validators=[
            InputRequired(missing),
            Length(max=LONGEST_TEXT, message=f"A comment has at most {LONGEST_TEXT:,} letters."),
            says_something,
        ],
        filters=[lambda value: clean_text(value or "")],
    )


class CommentForm(EnglishForm):
    """Name, address (optional, never shown) and text."""

    author = name_field("Your name", missing="Say what you'd like to be called.")
    email = AddressField(
        "Your e-mail address",
        otherwise="You can also leave it empty.",
        filters=[lambda value: clean_text(value or "")],
    )
    body = words_field("Your comment", missing="There is no comment yet.")
    notify = BooleanField("Tell me by e-mail about answers to this comment")

    def validate_author(self, field: StringField) -> None:
        """A name is more than invisible characters, and no address: everybody sees it."""
        if not is_visible(field.data):
            message = "Say what you'd like to be called."
            raise ValidationError(message)
        if has_address(field.data):
            message = "Everybody sees your name: leave the address out of it."
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


class ChangeForm(EnglishForm):
    """Other words for a comment of one's own."""

    body = words_field("Your comment", missing="There is no comment left. To take it back, delete it.")


class MailLinkForm(EnglishForm):
    """The address that came with a comment, to which a link to it is mailed."""

    email = AddressField("Your e-mail address", required="Type the address you gave with it.")
