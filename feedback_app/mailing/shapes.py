"""Address-shaped text: whatever a reader, a browser or a link would take for an address, however it is written."""

import base64
import html
import re
import string
import unicodedata
from collections.abc import Collection, Iterator
from itertools import pairwise
from urllib.parse import unquote

# Enough for every order of decodings that a mistake can make.
MOST_VARIANTS = 40
# What ends a run of characters that could be the local part of an address (RFC 5322, 3.2.3; RFC 6531 adds the rest).
ENCLOSING = re.compile(r'[\s<>()\[\],;:"\\]')
# A literal, or labels: of ASCII's punctuation they have only `-` and, as little as it belongs there, `_`.
_LABEL = r"[^\s!-,./:-@\[-^`{-~]+"
_DOMAIN = re.compile(rf"\[[^\]\s]*\]|{_LABEL}(?:\.{_LABEL})+")
# What may stand before and after a whole address in one run of characters: `?to=`, `*`, `_`, a quote, a full stop.
_BEFORE = re.compile(r"(?:.*[=?&#/|`{}])?[\W_]*", re.DOTALL)
_MORE_AFTER = re.compile(r"[._-]*[^\W_]")
_TAG = re.compile(r"<[^>]*>")
BASE64_LETTERS = string.ascii_letters + string.digits + "+/_-"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
# Every full stop that a domain is split at (IDNA: RFC 3490, 3.1).
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")


def address_shaped(text: str, allowed: Collection[str]) -> bool:
    """Whether any decoding of a text has something in it that reads as an address and is not an allowed one."""
    own = {plain(address).casefold() for address in allowed}
    return any(_strange(variant, own) for variant in _decodings(text))


def plain(text: str) -> str:
    """As it looks: full-width letters are letters, and invisible characters are not there."""
    if text.isascii():
        return text
    seen = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", seen.translate(_DOTS))


def _strange(text: str, own: Collection[str]) -> bool:
    return any(not any(_holds(run.casefold(), one) for one in own) for run in _shapes(text))


def _shapes(text: str) -> Iterator[str]:
    for left, right in pairwise(text.split("@")):
        local = ENCLOSING.split(left)[-1]
        domain = _DOMAIN.match(right)
        if local and domain:
            yield f"{local}@{domain.group()}"


def _holds(run: str, address: str) -> bool:
    """Whether a run of characters is an address and signs around it, and not a longer address that ends like it."""
    before, found, after = run.partition(address)
    return bool(found and _BEFORE.fullmatch(before) and not _MORE_AFTER.match(after))


def readings(text: str) -> list[str]:
    """A text as it stands, and as a reader, a browser or a link would take it, in every order."""
    found = [plain(text)]
    for reading in found:
        for decode in (html.unescape, lambda given: _TAG.sub("", given), unquote):
            other = plain(decode(reading))
            if other not in found and len(found) < MOST_VARIANTS:
                found.append(other)
    return found


def _decodings(text: str) -> Iterator[str]:
    for reading in readings(text):
        if "@" in reading:
            yield reading
        yield from _blobs(reading)


def _blobs(text: str) -> Iterator[str]:
    """What base64 in a text says (RFC 4648, sections 4 and 5); a slash can be a part of it, or the path's around it."""
    for match in _BASE64.finditer(text):
        for piece in {match.group(), *match.group().split("/")}:
            code = piece.rstrip("=").replace("-", "+").replace("_", "/")
            try:
                plain = base64.b64decode(code + "=" * (-len(code) % 4)).decode("ascii").strip()
            except ValueError:
                continue
            if "@" in plain and plain.isprintable():
                yield plain
