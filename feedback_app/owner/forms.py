"""The forms of the owner's pages."""

from typing import Any

from flask_wtf import FlaskForm
from wtforms import StringField, TextAreaField
from wtforms.validators import InputRequired, Length, ValidationError

from feedback_app.comments.forms import LONGEST_NAME
from feedback_app.comments.markup import LONGEST_TEXT, clean_text, comment_html, is_visible, visible_text


class TokenForm(FlaskForm):
    """A form of buttons: nothing but its token."""


class WordsForm(FlaskForm):
    """A name and the words of a comment: another's, to be edited, or the shop's own."""

    author = StringField(
        "Name",
        validators=[
            InputRequired("A comment has a name."),
            Length(max=LONGEST_NAME, message=f"A name has at most {LONGEST_NAME} letters."),
        ],
        filters=[lambda value: " ".join(clean_text(value or "").split())],
    )
    body = TextAreaField(
        "Comment",
        validators=[
            InputRequired("There is no comment left. To take it away, delete it."),
            Length(max=LONGEST_TEXT, message=f"A comment has at most {LONGEST_TEXT:,} letters."),
        ],
        filters=[lambda value: clean_text(value or "")],
    )

    def __init__(self, *arguments: Any, place: str, **values: Any) -> None:  # noqa: ANN401 - the base's signature
        """Two of these stand on one page: their fields are told apart by their `place`."""
        super().__init__(*arguments, **values)
        for field in (self.author, self.body):
            field.id = field.label.field_id = f"{place}-{field.name}"

    def validate_body(self, field: TextAreaField) -> None:
        """A comment is more than signs that format nothing."""
        if not is_visible(visible_text(comment_html(field.data[:LONGEST_TEXT]))):
            message = "There is no comment left. To take it away, delete it."
            raise ValidationError(message)
