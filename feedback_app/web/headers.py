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
    """Put the security headers on every response, also on those that no view makes."""
    state: AppState = app.extensions["undisclosed"]
    secure = state.settings.site_url.startswith("https:")
    headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if secure else {})
    app.wsgi_app = _with_headers(app.wsgi_app, headers)  # type: ignore[method-assign,assignment]

    @app.context_processor
    def shop_name() -> dict[str, object]:
        return {"shop": app_state().settings.shop_name}


def _with_headers(app: "WSGIApplication", headers: Mapping[str, str]) -> "WSGIApplication":
    """Return the app with these headers on every response that does not set them itself."""

    def with_headers(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(status: str, own: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:  # noqa: ANN401 - WSGI's signature (PEP 3333)
            names = {name.lower() for name, _ in own}
            added = [(name, value) for name, value in headers.items() if name.lower() not in names]
            return start_response(status, [*own, *added], *error)

        return app(environ, start)

    return with_headers


def keep_private(response: Response) -> Response:
    """Forbid caching and indexing of a response; for a blueprint's `after_request`."""
    for name, value in PRIVATE.items():
        response.headers.setdefault(name, value)
    return response
