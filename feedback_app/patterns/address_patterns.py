"""Text that a reader, a browser or a link would take for an e-mail address, in any encoding.

Two questions, two patterns. `address_shaped` refuses: letters and posts ask it, and it decodes the text in every way
and answers yes when in doubt. `TYPED_ADDRESS` finds what comments mask: it needs the exact place in the text as it was
typed, it masks addresses without a full stop (`anna@localhost`), and it leaves a page's address alone
(https://example.com/@bob).
"""

import base64
import html
import re
import string
import unicodedata
from collections.abc import Collection, Iterator
from itertools import pairwise
from urllib.parse import unquote

# More than any mistake makes, in whatever order it encodes an address.
MOST_READINGS = 40
# The characters that end a local part (RFC 5322, 3.2.3; RFC 6531 allows all of those beyond ASCII).
ENCLOSING = re.compile(r'[\s<>()\[\],;:"\\]')
# An address literal, or labels, which contain no punctuation of ASCII but `-` and, though it is not allowed, `_`.
_LABEL = r"[^\s!-,./:-@\[-^`{-~]+"
_DOMAIN = re.compile(rf"\[[^\]\s]*\]|{_LABEL}(?:\.{_LABEL})+")
# What may come directly before and after a whole address: `?to=`, `*`, `_`, a quotation mark, a full stop.
_BEFORE = re.compile(r"(?:.*[=?&#/|`{}])?[\W_]*", re.DOTALL)
_MORE_AFTER = re.compile(r"[._-]*[^\W_]")
_TAG = re.compile(r"<[^>]*>")
_WHOLE_TAG = re.compile(r"""<!--.*?-->|<(?:"[^"]*"|'[^']*'|[^'">])*>""", re.DOTALL)
_LINK = re.compile(r"""(?:href|src)\s*=\s*("[^"]*"|'[^']*')""", re.IGNORECASE)
BASE64_LETTERS = string.ascii_letters + string.digits + "+/_-"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
# The other full stops at which a domain is split (IDNA: RFC 3490, 3.1).
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
# The characters that cannot be next to the @ of an address in a comment. Before it, a slash cannot be, either.
_BREAK = r"\s@<>()\[\],;:\"'`*"
# A match starts only where a word starts, so that a long text without an @ is searched once.
TYPED_ADDRESS = re.compile(
    rf"""(?:"[^"\n]{{1,64}}"|(?<![^{_BREAK}])[^{_BREAK}]*[^{_BREAK}/])(?P<at>@|%40)\[?[^{_BREAK}]+""", re.IGNORECASE
)


def address_shaped(text: str, allowed: Collection[str]) -> bool:
    """Return whether any decoding of a text contains an address that is not an allowed one."""
    own = {plain(address).casefold() for address in allowed}
    found = readings(text)
    # A text with so many decodings can't be checked.
    return len(found) >= MOST_READINGS or any(_strange(variant, own) for variant in _decodings(found))


def plain(text: str) -> str:
    """Return a text as it looks: full-width letters become letters, and invisible characters go."""
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
            # A quoted local part, or one with a comment after it (RFC 5322, 3.4.1): the shop's are never written so.
            yield f'"…"@{domain.group()}'


def _holds(run: str, address: str) -> bool:
    """Return whether a run of characters is this address with signs around it, not a longer one that ends like it."""
    before, found, after = run.partition(address)
    return bool(found and _BEFORE.fullmatch(before) and not _MORE_AFTER.match(after))


def _without_tags(text: str) -> str:
    return _TAG.sub("", text)


def _without_whole_tags(text: str) -> str:
    """Remove tags as a browser parses them: `>` in quotation marks or in a comment does not end one."""
    return _WHOLE_TAG.sub("", text)


DECODINGS = (html.unescape, _without_tags, _without_whole_tags, unquote)


def readings(text: str) -> list[str]:
    """Return a text and all its decodings, in every order in which they can follow one another."""
    found = [plain(text)]
    if "\u202e" in text:
        # U+202E makes a browser show the text from right to left.
        found.append(plain(text[::-1]))
    for reading in found:
        for decode in DECODINGS:
            other = plain(decode(reading))
            if other not in found and len(found) < MOST_READINGS:
                found.append(other)
    return found


def _decodings(found: list[str]) -> Iterator[str]:
    for reading in found:
        if "@" in reading:
            yield reading
        # Browsers remove tabs and line breaks from a link (URL Standard, 4.4).
        yield from (re.sub(r"[\t\r\n]", "", link) for link in _LINK.findall(reading) if "@" in link)
        yield from _blobs(reading)


def _blobs(text: str) -> Iterator[str]:
    """Yield decoded base64 (RFC 4648, sections 4 and 5). A slash may belong to it or to the path around it."""
    for match in _BASE64.finditer(text):
        for piece in {match.group(), *match.group().split("/")}:
            code = piece.rstrip("=").replace("-", "+").replace("_", "/")
            try:
                plain = base64.b64decode(code + "=" * (-len(code) % 4)).decode("ascii").strip()
            except ValueError:
                continue
            if "@" in plain and plain.isprintable():
                yield plain
