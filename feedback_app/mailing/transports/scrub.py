"""Takes addresses out of what mail servers say, before it is stored."""

import re

from feedback_app.patterns.address_patterns import address_shaped, readings

LONGEST_ANSWER = 200
_ADDRESS = re.compile(r"\S+@\S+")
MASK = "…@…"
# An ASCII line in which nothing could be part of an address, in any spelling.
_HARMLESS = re.compile(r"(?!.*[A-Za-z0-9+/_-]{16})[^@%&=<]*")
# A reply code, and the enhanced status code (RFC 3463) after it.
_CODES = re.compile(r"[2-5][0-9]{2}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?")


def scrub(words: str) -> str:
    """Return a server's words for the ledger: one printable line without an address.

    If an address is disguised in them, for instance in a link, or is in pieces, only the codes are kept.
    """
    line = words if words.isprintable() else "".join(sign if sign.isprintable() else " " for sign in words)
    line = " ".join(line.split())
    if line.isascii() and _HARMLESS.fullmatch(line):
        return line[:LONGEST_ANSWER]
    line = line[: 2 * LONGEST_ANSWER]
    line = _ADDRESS.sub(MASK, line) if "@" in line else line
    rest = line.replace(MASK, " ")
    if "=40" in rest or address_shaped(rest, ()) or any("@" in reading for reading in readings(rest)):
        codes = _CODES.match(line)
        return f"{codes[0] if codes else ''} (with an address in its words, which are not kept)".strip()
    return line[:LONGEST_ANSWER]
