"""The forms of the owner's pages."""

from typing import Any

from flask_wtf import FlaskForm

from feedback_app.comments.forms import name_field, words_field


class WordsForm(FlaskForm):
    """A name and the words of a comment: another's, to be edited, or the shop's own."""

    author = name_field("Name", missing="A comment has a name.")
    body = words_field("Comment", missing="There is no comment left. To take it away, delete it.")

    def __init__(self, *arguments: Any, place: str, **values: Any) -> None:  # noqa: ANN401 - the base's signature
        """Two of these stand on one page: their fields are told apart by their `place`."""
        super().__init__(*arguments, **values)
        for field in (self.author, self.body):
            field.id = field.label.field_id = f"{place}-{field.name}"
