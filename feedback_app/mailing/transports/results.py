"""Results of sending a letter: an outcome, and the server's own words without any address."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one letter at the next server."""

    ACCEPTED = "accepted"
    # Refused for now (SMTP: 4xx): it is tried again later.
    DEFERRED = "deferred"
    # Refused for good (SMTP: 5xx).
    FAILED = "failed"
    # The connection broke before the letter was complete: no server has it, and it costs no attempt.
    NOT_SENT = "not sent"
    # The connection broke between the letter's end and its answer: the server may have it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome, and the server's words as `scrub` leaves them."""

    outcome: Outcome
    words: str


class TransportRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The transport's setting can't be used; the message is one line that says why."""
