"""Error pages for people, and problem details (RFC 9457) for programs."""

from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from feedback_app.web.headers import PRIVATE, keep_private
from feedback_app.web.problem_details import API_PREFIX, PROBLEMS_BY_STATUS, Problem, problem_response

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

API_HELP = "What can be asked, and how, stands at /feedback/api/v1/openapi.json."


def prepare_errors(app: Flask) -> None:
    """Register error pages that say what to do."""

    @app.errorhandler(HTTPException)
    def error_page(error: HTTPException) -> ResponseReturnValue:
        code = error.code or 500
        if error.response is not None or code < 400:  # noqa: PLR2004 - not an error: a redirect, say
            return error
        title, advice = ERRORS.get(code, ERRORS[400])
        if request.path.startswith(API_PREFIX):
            return _problem_details(error, code, title)
        page = render_template("error.html", title=title, advice=advice)
        return page, code, _allow_header(error) | PRIVATE


def _problem_details(error: HTTPException, code: int, title: str) -> Response:
    other = Problem.BROKEN if code >= 500 else Problem.BAD_REQUEST  # noqa: PLR2004 - the server's fault
    response = problem_response(code, PROBLEMS_BY_STATUS.get(code, other), title, API_HELP)
    response.headers.update(_allow_header(error))
    return keep_private(response)


def _allow_header(error: HTTPException) -> dict[str, str]:
    """Return the methods that a 405 names, as a header; empty for other errors."""
    return {name: value for name, value in error.get_headers() if name.lower() == "allow"}
