"""Flask as this house has it: what comes in as a request, what goes out as an answer, and the session of both."""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from flask import Flask, Request, Response, request
from flask.json.provider import DefaultJSONProvider
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import URLSafeTimedSerializer
from werkzeug.datastructures import FileStorage, ImmutableMultiDict

from feedback_app.security.signing import Cookies
from feedback_app.web.form_encoding import FormBytes, read

MOST_BYTES = 256 * 1024
MOST_PARTS = 1000
_JSON = json.JSONEncoder(separators=(",", ":"), default=DefaultJSONProvider.default)


class _SessionJson(TaggedJSONSerializer):
    """Flask's own JSON of a session, where what is plain is seen to be: most is, and has none of its marks."""

    def tag(self, value: object) -> object:
        return value if type(value) in {str, int, bool, float} else super().tag(value)

    def dumps(self, value: object) -> str:
        return _JSON.encode(self.tag(value))

    def loads(self, value: str | bytes) -> object:
        return self._untag_scan(json.loads(value))


class Sessions(SecureCookieSessionInterface):
    """Flask's signed cookies; what signs and reads them is made once for all of an app's requests."""

    serializer = _SessionJson()

    def __init__(self) -> None:
        """Nothing is made yet."""
        self._signs: URLSafeTimedSerializer | None = None

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs an app's cookies, with the keys that it has when it is first asked."""
        if self._signs is None and app.secret_key:
            keys = [*(app.config["SECRET_KEY_FALLBACKS"] or ()), app.secret_key]
            derivation = {"key_derivation": self.key_derivation}
            self._signs = Cookies(keys, salt=self.salt, serializer=self.serializer, signer_kwargs=derivation)
        return self._signs


class FormRequest(Request):
    """A request whose body is a form of texts, or nothing.

    Flask-WTF would take JSON of any shape, and files, for the fields of a form, and break on them. `guessed` are the
    letters of each field that were no UTF-8: what they were is a guess.
    """

    form_data_parser_class = FormBytes
    # Said here, these are not looked up in Flask's configuration several times for every request.
    max_content_length = MOST_BYTES
    max_form_memory_size = MOST_BYTES
    max_form_parts = MOST_PARTS
    guessed: Mapping[str, str] = {}

    @property
    def is_json(self) -> bool:
        """Never."""
        return False

    def _load_form_data(self) -> None:
        if "form" in self.__dict__:
            return
        # Not Flask's own, which only helps to look for what is wrong with forms of files.
        super(Request, self)._load_form_data()
        form: ImmutableMultiDict[str, str] = self.__dict__["form"]
        if all(value.isascii() and "\0" not in value for values in form.listvalues() for value in values):
            # As most are: nothing to read in another way.
            return
        fields = [(name, read(value)) for name, value in form.items(multi=True)]
        # A NUL is nothing that anybody types, nothing that a page may have in it, and nothing that PostgreSQL takes.
        clean = [(name, field.text.replace("\0", "")) for name, field in fields]
        self.__dict__["form"] = ImmutableMultiDict(clean)
        self.guessed = {name: field.guessed for name, field in fields if field.guessed}

    @cached_property
    def files(self) -> ImmutableMultiDict[str, FileStorage]:
        """None."""
        return ImmutableMultiDict()


class AppResponse(Response):
    """Flask's answer, for which nothing is looked up either."""

    # What browsers keep at least (RFC 6265, 6.1).
    max_cookie_size = 4093


class App(Flask):
    """Flask, with a log that quotes no links: whoever read one there could use it."""

    request_class = FormRequest
    response_class = AppResponse

    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - the base's signature
        """Flask, with sessions of its own."""
        super().__init__(*args, **more)
        self.session_interface = Sessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: nothing here is asynchronous, and Flask would look into each function for every request."""
        return func

    def log_exception(self, exc_info: Any) -> None:  # noqa: ANN401 - the base's signature
        """Note where something broke."""
        self.logger.error("Exception in %s [%s]", request.endpoint, request.method, exc_info=exc_info)
