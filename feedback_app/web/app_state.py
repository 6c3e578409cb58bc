"""What every page of the app shares: the store behind it, its headers, its limits, its error pages."""

import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, current_app, render_template, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from flask_wtf import FlaskForm
from limits import RateLimitItem
from limits.errors import StorageError
from werkzeug.exceptions import HTTPException
from wtforms.csrf.core import CSRFTokenField

from feedback_app import clock
from feedback_app.config import Settings, Switch
from feedback_app.db.store import Store
from feedback_app.security.tokens import Signer
from feedback_app.web.app_class import FormRequest
from feedback_app.web.problem_details import BY_STATUS, PROGRAMS, Problem, problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LONGEST_NUMBER = 15
# What PostgreSQL's integer can hold: asking for more is an error there, not an empty answer.
LARGEST_NUMBER = 2**31 - 1
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
PRIVATE = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow"}
ERRORS = {
    400: (
        "That did not work",
        "The request could not be understood. Go back, look at what you typed, and send it again.",
    ),
    404: ("Nothing is here", "The page may have moved, or its link was cut in two on the way."),
    405: ("Not this way", "This page can't be used that way. Open it by its link."),
    429: ("Too fast", "A lot came from your network just now. Wait a minute, go back, and send it again."),
    413: ("Too much at once", "That is more than this page takes. Go back, shorten it, and send it again."),
    500: (
        "Something broke",
        "It was on our side, not yours, and it has been noted. Go back and try again in a minute.",
    ),
}

# Of the letters that were guessed, so many are named.
MOST_GUESSED = 20
GUESSED = (
    "Some letters of this came in no way that can be read for certain (UTF-8): {}. Look it over, and send it again."
)
MEND = "What can be asked, and how, stands at /feedback/api/v1/openapi.json."


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


log = logging.getLogger(__name__)


def network() -> str:
    """The network that a request comes from: a person moves within it, and whoever floods has many addresses in it."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    length = 24 if address.version == 4 else 56  # noqa: PLR2004 - what providers give to one customer
    return str(ipaddress.ip_network((address, length), strict=False))


def whence() -> str:
    """A name for the network that a request comes from: a keyed hash of it and of the day (UTC).

    Where it is counted, in Redis say, nobody can read where somebody was, and tomorrow nobody can recognise them.
    """
    said = f"network/{clock.now().date()}/{network()}"
    return hmac.digest(house().signer.identifier_key, said.encode(), "sha256").hex()[:32]


class Limits:
    """How much comes from one network, or for one thread, in a while; kept in memory or in Redis."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        """Count for an app. With the limits off, everything is let through."""
        self._limiter = Limiter(
            whence,
            storage_uri=settings.limits_url,
            storage_options={"wrap_exceptions": True},
            strategy="moving-window",
            enabled=settings.rate_limits is Switch.ON,
        )
        # What is there already gets no hooks around every request: the views ask by themselves.
        app.extensions.setdefault("limiter", set()).add(self._limiter)
        self._limiter.init_app(app)

    def admit(self, limit: RateLimitItem, *who: str) -> bool:
        """Whether there may be one more of this, which is counted. When the counter does not answer, there may."""
        if not self._limiter.enabled:
            return True
        try:
            return self._limiter.limiter.hit(limit, *who)
        except StorageError:
            log.warning("The counter of the rate limits does not answer: nothing is limited until it does.")
            return True


@dataclass(frozen=True, slots=True)
class House:
    """What the views work with."""

    settings: Settings
    store: Store
    signer: Signer
    limits: Limits


def house() -> House:
    """The house of the app that answers this request."""
    return cast("House", current_app.extensions["undisclosed"])


def number_of(text: str) -> int | None:
    """The number that somebody sent, or None for anything that no row can have."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER else 0
    return number if 0 < number <= LARGEST_NUMBER else None


def forged(form: FlaskForm) -> bool:
    """Whether a form came without its own token: from another page, or too late. Its fields are kept."""
    token = form["csrf_token"]
    return bool(token.errors)


def prepare_headers(app: Flask) -> None:
    """Secure headers on every answer; pages of the app are nobody else's to keep."""
    at: House = app.extensions["undisclosed"]
    secure = at.settings.site_url.startswith("https:")
    always = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})
    app.wsgi_app = _always(app.wsgi_app, always)  # type: ignore[method-assign,assignment]

    @app.context_processor
    def shop() -> dict[str, object]:
        return {"shop": house().settings.shop_name}


def _always(app: "WSGIApplication", headers: Mapping[str, str]) -> "WSGIApplication":
    """The same app, with these headers on every answer that does not have them yet, whoever made it."""
    known = [(name.lower(), (name, value)) for name, value in headers.items()]

    def answer(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        def start_with(status: str, given: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:  # noqa: ANN401 - as WSGI has it (PEP 3333)
            there = {name.lower() for name, _ in given}
            return start(status, [*given, *(header for name, header in known if name not in there)], *error)

        return app(environ, start_with)

    return answer


def keep_private(response: Response) -> Response:
    """For a blueprint's after_request: not cached, not indexed."""
    there = {name.lower() for name, _ in response.headers}
    for name, value in PRIVATE.items():
        if name.lower() not in there:
            response.headers.add(name, value)
    return response


def prepare_errors(app: Flask) -> None:
    """Error pages that say what to do."""

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> ResponseReturnValue:
        code = error.code or 500
        if error.response is not None or code < 400:  # noqa: PLR2004 - not an error: a redirect, say
            return error
        title, mend = ERRORS.get(code, ERRORS[400])
        if request.path.startswith(PROGRAMS):
            return _told_to_a_program(error, code, title)
        page = render_template("error.html", title=title, mend=mend)
        headers = [(name, value) for name, value in error.get_headers() if name.lower() == "allow"]
        return page, code, [*headers, *PRIVATE.items()]


def _told_to_a_program(error: HTTPException, code: int, title: str) -> Response:
    allowed = {name: value for name, value in error.get_headers() if name.lower() == "allow"}
    answer = problem(code, BY_STATUS.get(code, Problem.BROKEN if code >= 500 else Problem.BAD_REQUEST), title, MEND)  # noqa: PLR2004
    answer.headers.update(allowed)
    return keep_private(answer)
