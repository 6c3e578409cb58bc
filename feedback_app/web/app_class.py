"""The app's Flask class and its requests: a body is a form of texts or nothing, and the log quotes no link."""

from collections.abc import Mapping
from typing import Any

from flask import Flask, Request, request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.formparser import FormDataParser

from feedback_app.web.form_encoding import FormTextParser


class FormRequest(Request):
    """A request whose body is a form of texts, or nothing.

    Flask-WTF would read JSON of any shape, and files, into a form's fields, which then fail. `guessed` maps a field's
    name to its letters that were not UTF-8 and had to be guessed; it is filled when the form is first read.
    """

    guessed: Mapping[str, str] = {}

    @property
    def is_json(self) -> bool:
        """Always false."""
        return False

    def make_form_data_parser(self) -> FormDataParser:
        """Return a parser of texts alone, and keep its guesses."""
        parser = FormTextParser(
            max_form_memory_size=self.max_form_memory_size, max_form_parts=self.max_form_parts, cls=ImmutableMultiDict
        )
        self.guessed = parser.guessed
        return parser


class App(Flask):
    """Flask, with a log that quotes no link: every reader of the log could use the link."""

    request_class = FormRequest

    def log_exception(self, exc_info: Any) -> None:  # noqa: ANN401 - the base's signature
        """Log the view and the method of a request that raised an exception, but not its URL."""
        self.logger.error("Exception in %s [%s]", request.endpoint, request.method, exc_info=exc_info)
