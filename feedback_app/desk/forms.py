"""Forms of the owner's pages."""

from typing import Any

from flask_wtf import FlaskForm

from feedback_app.comments.forms import name_field, words_field


class WordsForm(FlaskForm):
    """The name and the words of a comment: a reader's, edited by the owner, or the shop's answer."""

    author = name_field("Name", missing="A comment has a name.")
    body = words_field("Comment", missing="There is no comment left. To take it away, delete it.")

    def __init__(self, *arguments: Any, prefix: str, **values: Any) -> None:  # noqa: ANN401 - the base's signature
        """Prefix the fields' ids with `prefix`: a page has two of these forms."""
        super().__init__(*arguments, **values)
        for field in (self.author, self.body):
            field.id = field.label.field_id = f"{prefix}-{field.name}"
