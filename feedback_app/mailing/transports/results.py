"""Results of sending a letter: an outcome, and the server's own words without any address."""

import re
from dataclasses import dataclass
from enum import StrEnum

from feedback_app.patterns.address_patterns import address_shaped, readings

LONGEST_ANSWER = 200
_ADDRESS = re.compile(r"\S+@\S+")
MASK = "…@…"
# A line in which nothing could be part of an address, in any spelling.
_HARMLESS = re.compile(r"(?!.*[A-Za-z0-9+/_-]{16})[^@%&=<\x80-\U0010ffff]*")
# A reply code, and the enhanced status code (RFC 3463) after it.
_CODES = re.compile(r"[2-5][0-9]{2}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?")


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


def scrub(words: str) -> str:
    """Return a server's words for the ledger: one printable line without an address.

    If an address is disguised in them, for instance in a link, or is in pieces, only the codes are kept.
    """
    line = words if words.isprintable() else "".join(sign if sign.isprintable() else " " for sign in words)
    line = " ".join(line.split())
    if _HARMLESS.fullmatch(line):
        return line[:LONGEST_ANSWER]
    line = line[: 2 * LONGEST_ANSWER]
    line = _ADDRESS.sub(MASK, line) if "@" in line else line
    rest = line.replace(MASK, " ")
    if "=40" in rest or address_shaped(rest, ()) or any("@" in reading for reading in readings(rest)):
        codes = _CODES.match(line)
        return f"{codes[0] if codes else ''} (with an address in its words, which are not kept)".strip()
    return line[:LONGEST_ANSWER]
