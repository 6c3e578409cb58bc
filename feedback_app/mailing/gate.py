"""The gate: the last look at a letter's bytes before the wire.

It reads with a parser that did not make them, and asks for one reader: one `From`, one `To` with exactly the
envelope's address, no header that the mailer does not set, and nothing address-shaped in any decoding of the headers,
the parts, their HTML or their URLs but the recipient's address and the shop's own.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Collection, Iterator
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from urllib.parse import unquote

LONGEST_LINE = 998
ONCE = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")
AT_MOST_ONCE = (
    "reply-to",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-id",
    "auto-submitted",
    "content-transfer-encoding",
)
PART_HEADERS = frozenset({"content-type", "content-transfer-encoding"})
# RFC 5322's atoms, and what RFC 6531 adds: everything beyond ASCII.
MAILBOX = re.compile(r'(?:(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>@,:;()\[\]]*?)) )?<(?P<address>[^<>\s]+)>')
ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'|\\`{}=&?#]+@(?:\[[^\]\s]*\]|[\w-]+(?:\.[\w-]+)+)")
TAG = re.compile(r"<[^>]*>")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
MESSAGE_ID = re.compile(r"<[0-9a-f]{32}@[a-z0-9.-]+>")
LINK_HEADER = re.compile(r"<https?://[!-;=?-~]+>")


class GateRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """These bytes must not leave the house; the message says why and repeats no address."""


def check(data: bytes, *, sender: str, recipient: str, own: Collection[str]) -> None:
    """Look at a letter's final bytes. Raises GateRefused."""
    _check_lines(data)
    message = BytesParser(policy=compat32).parsebytes(data)
    headers = [(name.lower(), _unfold(value)) for name, value in message.raw_items()]
    _check_names([name for name, _ in headers])
    found = dict(headers)
    if _mailbox(found["to"], "To") != recipient:
        _refuse("its To is not the address on the envelope")
    if _mailbox(found["from"], "From") != sender:
        _refuse("its From is not the shop's")
    if not MESSAGE_ID.fullmatch(found["message-id"]):
        _refuse("its Message-ID says more than it should")
    if "list-unsubscribe" in found and not LINK_HEADER.fullmatch(found["list-unsubscribe"]):
        _refuse("its List-Unsubscribe is not one plain link")
    allowed = {address.casefold() for address in (*own, sender, recipient)}
    for name, value in headers:
        if name != "message-id":
            _check_text(_decoded(value), allowed, f"the header {name}")
    for number, part in enumerate(_parts(message), 1):
        payload = part.get_payload(decode=True)
        text = payload.decode("utf-8", errors="replace") if isinstance(payload, bytes) else ""
        _check_text(text, allowed, f"part {number}")
    for extra in (message.preamble, message.epilogue):
        if extra and extra.strip():
            _refuse("it has text outside its parts")


def address_shaped(text: str, allowed: Collection[str]) -> bool:
    """Whether any decoding of a text has something in it that reads as an address and is not an allowed one."""
    allowed = {address.casefold() for address in allowed}
    return any(_strange(variant, allowed) for variant in _decodings(text))


def _refuse(reason: str) -> None:
    message = f"a letter was stopped at the gate: {reason}"
    raise GateRefused(message)


def _check_lines(data: bytes) -> None:
    lines = data.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines):
        _refuse("it has a bare line break or a NUL in it")
    if max(map(len, lines)) > LONGEST_LINE:
        _refuse(f"it has a line longer than {LONGEST_LINE} bytes")
    if any(line.startswith(b".") for line in lines):
        _refuse("it has a line that starts with a dot")
    if lines[-1] != b"":
        _refuse("its last line is not ended")


def _check_names(names: list[str]) -> None:
    for name in names:
        if name not in ONCE and name not in AT_MOST_ONCE:
            _refuse(f"it has a header that the mailer does not set: {name[:40]}")
        if names.count(name) > 1:
            _refuse(f"it has more than one {name}")
    for name in ONCE:
        if name not in names:
            _refuse(f"it has no {name}")


def _unfold(value: str) -> str:
    # The parser keeps bytes beyond ASCII as surrogates; with SMTPUTF8 (RFC 6531) they are UTF-8.
    text = value.encode("ascii", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"\r\n(?=[ \t])", "", text).strip()


def _decoded(value: str) -> str:
    try:
        return "".join(
            piece.decode(charset or "utf-8", "replace") if isinstance(piece, bytes) else piece
            for piece, charset in decode_header(value)
        )
    except (LookupError, ValueError, binascii.Error):
        return value


def _mailbox(value: str, header: str) -> str:
    match = MAILBOX.fullmatch(value if "<" in value else f"<{value}>")
    if not match:
        _refuse(f"its {header} is not one mailbox")
        raise AssertionError
    name = _decoded(match["quoted"] or match["plain"] or "")
    if "@" in unicodedata.normalize("NFKC", name) or "\n" in name or "\r" in name:
        _refuse(f"the name in its {header} has an address or a line break in it")
    return match["address"]


def _parts(message: Message) -> Iterator[Message]:
    if not message.is_multipart():
        yield message
        return
    if message.get_content_type() != "multipart/alternative":
        _refuse("it is put together in a way that the mailer does not")
    for part in message.get_payload():
        if not isinstance(part, Message) or part.is_multipart() or part.preamble:
            _refuse("it has parts within parts")
            return
        if {name.lower() for name in part.keys()} - PART_HEADERS:  # noqa: SIM118 - a message is no dict
            _refuse("one of its parts has headers that the mailer does not set")
        yield part


def _check_text(text: str, allowed: Collection[str], where: str) -> None:
    if any(_strange(variant, allowed) for variant in _decodings(text)):
        _refuse(f"{where} shows an address that is neither the recipient's nor the shop's")


def _strange(text: str, allowed: Collection[str]) -> bool:
    return any(match.group().strip(".-_*~/").casefold() not in allowed for match in ADDRESS.finditer(text))


def _decodings(text: str) -> Iterator[str]:
    """A text as it stands, and as a reader, a browser or a link would take it."""
    text = unicodedata.normalize("NFKC", text)
    variants = [text]
    for decode in (html.unescape, lambda given: TAG.sub("", given), unquote, unquote):
        for variant in list(variants):
            other = decode(variant)
            if other not in variants:
                variants.append(other)
    yield from (variant for variant in variants if "@" in variant)
    for match in BASE64.finditer(text):
        code = match.group().rstrip("=").replace("-", "+").replace("_", "/")
        try:
            plain = base64.b64decode(code + "=" * (-len(code) % 4)).decode("ascii")
        except ValueError:
            continue
        if "@" in plain and plain.isprintable():
            yield plain
