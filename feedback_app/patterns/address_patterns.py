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
MOST_READINGS = 40
# What ends a run of characters that could be the local part of an address (RFC 5322, 3.2.3; RFC 6531 adds the rest).
ENCLOSING = re.compile(r'[\s<>()\[\],;:"\\]')
# A literal, or labels: of ASCII's punctuation they have only `-` and, as little as it belongs there, `_`.
_LABEL = r"[^\s!-,./:-@\[-^`{-~]+"
_DOMAIN = re.compile(rf"\[[^\]\s]*\]|{_LABEL}(?:\.{_LABEL})+")
# What may stand before and after a whole address in one run of characters: `?to=`, `*`, `_`, a quote, a full stop.
_BEFORE = re.compile(r"(?:.*[=?&#/|`{}])?[\W_]*", re.DOTALL)
_MORE_AFTER = re.compile(r"[._-]*[^\W_]")
_TAG = re.compile(r"<[^>]*>")
_WHOLE_TAG = re.compile(r"""<!--.*?-->|<(?:"[^"]*"|'[^']*'|[^'">])*>""", re.DOTALL)
_LINK = re.compile(r"""(?:href|src)\s*=\s*("[^"]*"|'[^']*')""", re.IGNORECASE)
BASE64_LETTERS = string.ascii_letters + string.digits + "+/_-"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
# Every full stop that a domain is split at (IDNA: RFC 3490, 3.1).
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")


def address_shaped(text: str, allowed: Collection[str]) -> bool:
    """Whether any decoding of a text has something in it that reads as an address and is not an allowed one."""
    own = {plain(address).casefold() for address in allowed}
    found = readings(text)
    # What can be read in so many ways can't be looked at.
    return len(found) >= MOST_READINGS or any(_strange(variant, own) for variant in _decodings(found))


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
        if domain and local:
            yield f"{local}@{domain.group()}"
        elif domain and left.endswith(('"', ")", "]")):
            # A local part in quotation marks, or with a comment after it (RFC 5322, 3.4.1): never one of the shop's.
            yield f'"…"@{domain.group()}'


def _holds(run: str, address: str) -> bool:
    """Whether a run of characters is an address and signs around it, and not a longer address that ends like it."""
    before, found, after = run.partition(address)
    return bool(found and _BEFORE.fullmatch(before) and not _MORE_AFTER.match(after))


def _without_tags(text: str) -> str:
    return _TAG.sub("", text)


def _without_whole_tags(text: str) -> str:
    """As a browser takes tags: a sign between quotation marks, or in a comment, ends none."""
    return _WHOLE_TAG.sub("", text)


def readings(text: str) -> list[str]:
    """A text as it stands, and as a reader, a browser or a link would take it, in every order."""
    found = [plain(text)]
    if "\u202e" in text:
        # What a reader sees who reads from the right.
        found.append(plain(text[::-1]))
    for reading in found:
        for decode in (html.unescape, _without_tags, _without_whole_tags, unquote):
            other = plain(decode(reading))
            if other not in found and len(found) < MOST_READINGS:
                found.append(other)
    return found


def _decodings(found: list[str]) -> Iterator[str]:
    for reading in found:
        if "@" in reading:
            yield reading
        # Browsers leave tabs and line breaks out of a link (URL Standard, 4.4).
        yield from (re.sub(r"[\t\r\n]", "", link) for link in _LINK.findall(reading) if "@" in link)
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
