"""Error pages for people, and problem details for programs."""

from flask import Flask, Response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from feedback_app.web.headers import PRIVATE, keep_private
from feedback_app.web.problem_details import BY_STATUS, PROGRAMS, Problem, problem

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


MEND = "What can be asked, and how, stands at /feedback/api/v1/openapi.json."


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
