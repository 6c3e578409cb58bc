"""Security headers on every response."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from feedback_app.web.app_state import AppState, app_state

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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


def prepare_headers(app: Flask) -> None:
    """Secure headers on every answer; pages of the app are nobody else's to keep."""
    at: AppState = app.extensions["undisclosed"]
    secure = at.settings.site_url.startswith("https:")
    always = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})
    app.wsgi_app = _always(app.wsgi_app, always)  # type: ignore[method-assign,assignment]

    @app.context_processor
    def shop() -> dict[str, object]:
        return {"shop": app_state().settings.shop_name}


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
