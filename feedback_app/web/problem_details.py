"""Errors for programs: problem details (RFC 9457)."""

import json
from enum import StrEnum

from flask import Response

API_PREFIX = "/feedback/api/"


class Problem(StrEnum):
    """A kind of problem: the end of its URI, which never changes."""

    NOT_FOUND = "not-found"
    METHOD = "method-not-allowed"
    BAD_REQUEST = "bad-request"
    NO_KEY = "key-needed"
    SCOPE = "key-not-for-this"
    TOPIC = "unknown-topic"
    ADDRESS = "bad-address"
    ADDRESS_IN_URL = "address-in-url"
    FORMAT = "unknown-format"
    TOO_FAST = "too-fast"
    BROKEN = "broken"


PROBLEMS_BY_STATUS = {404: Problem.NOT_FOUND, 405: Problem.METHOD, 429: Problem.TOO_FAST}


def problem_response(
    status: int, kind: Problem, title: str, detail: str, *, headers: dict[str, str] | None = None
) -> Response:
    """Return a response that tells a program what is wrong and what to do. It repeats no part of the request."""
    document = {"type": f"urn:undisclosed:problem:{kind}", "title": title, "status": status, "detail": detail}
    response = Response(json.dumps(document) + "\n", status, mimetype="application/problem+json")
    response.headers.update(headers or {})
    return response
