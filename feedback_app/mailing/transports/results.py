"""What can become of a letter at the next server, in one word and in the server's own."""

import re
from dataclasses import dataclass
from enum import StrEnum

from feedback_app.patterns.address_patterns import address_shaped, readings

LONGEST_ANSWER = 200
_ADDRESS = re.compile(r"\S+@\S+")
MASK = "…@…"
# Words with nothing in them that could be a part of an address, in whatever spelling.
_HARMLESS = re.compile(r"(?!.*[A-Za-z0-9+/_-]{16})[^@%&=<\x80-\U0010ffff]*")
# An answer's code, and the enhanced one (RFC 3463).
_CODES = re.compile(r"[2-5][0-9]{2}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?")


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
    """A server's words for the ledger: one printable line, no address in it.

    Of words that have one in a disguise, in a link say, or in pieces, only the codes are kept.
    """
    line = words if words.isprintable() else "".join(one if one.isprintable() else " " for one in words)
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
