"""What can become of a letter at the next server, in one word and in the server's own."""

import re
from dataclasses import dataclass
from enum import StrEnum

LONGEST_ANSWER = 200
_ADDRESS = re.compile(r"\S+@\S+")


class Outcome(StrEnum):
    """What became of one letter at the next server."""

    ACCEPTED = "accepted"
    # 4xx: the server asks to try again.
    DEFERRED = "deferred"
    # 5xx: the server will not have it.
    FAILED = "failed"
    # The connection broke before the letter was complete: nobody has it, and it costs no attempt.
    NOT_SENT = "not sent"
    # The connection broke after DATA's end and before the answer: somebody may have it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome and the server's words, with anything like an address taken out."""

    outcome: Outcome
    words: str


class TransportRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The transport's setting can't be used; one line that says why."""


def scrub(words: str) -> str:
    """A server's words for the ledger: one printable line, no address in it."""
    line = words if words.isprintable() else "".join(one if one.isprintable() else " " for one in words)
    line = " ".join(line.split())
    return (_ADDRESS.sub("…@…", line) if "@" in line else line)[:LONGEST_ANSWER]
