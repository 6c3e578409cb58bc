"""What programs are told when something is wrong: problem details (RFC 9457)."""

import json
from enum import StrEnum

from flask import Response

PROGRAMS = "/feedback/api/"


class Problem(StrEnum):
    """What is wrong, as a name that stays; it is the end of the problem's URI."""

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


BY_STATUS = {404: Problem.NOT_FOUND, 405: Problem.METHOD, 429: Problem.TOO_FAST}


def problem(status: int, what: Problem, title: str, detail: str, *, headers: dict[str, str] | None = None) -> Response:
    """An answer that says what is wrong and what to do, to a program. No part of the question is repeated in it."""
    document = {"type": f"urn:undisclosed:problem:{what}", "title": title, "status": status, "detail": detail}
    answer = Response(json.dumps(document) + "\n", status, mimetype="application/problem+json")
    answer.headers.update(headers or {})
    return answer
