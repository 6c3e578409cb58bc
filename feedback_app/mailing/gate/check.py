"""The full check of a letter's bytes before they leave.

The bytes are read with a parser that did not make them. A letter must have one `From`, one `To` with exactly the
envelope's address, and no header that the mailer does not set. No decoding of its headers, its parts, their HTML or
their URLs may show anything shaped like an address but the recipient's address and the shop's own.
"""

import re
import unicodedata
from collections.abc import Collection
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import NoReturn

from feedback_app.patterns.address_patterns import address_shaped

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
# One signature for each kind of key, above all that it signs (RFC 6376, 5.6), with these tags only (the pattern is for
# the value without blanks): nothing in which an address could be hidden.
SIGNATURE, MOST_SIGNATURES = "dkim-signature", 2
_SIGNATURE = re.compile(
    r"v=1;a=(?:rsa|ed25519)-sha256;c=relaxed/relaxed;d=[a-z0-9.-]+;s=[a-z0-9-]+;t=[0-9]+;h=[a-z:-]+;"
    r"bh=[A-Za-z0-9+/]{43}=;b=[A-Za-z0-9+/]+={0,2}"
)
# No other charset or encoding is let through: the check would not have read what a mail program then shows.
PLAIN, HTML = 'text/plain; charset="utf-8"', 'text/html; charset="utf-8"'
ENCODING = "quoted-printable"
ALTERNATIVE = re.compile(r'multipart/alternative; boundary="=_[0-9a-f]+"')
# Atoms with dots between them (RFC 5322, 3.2.3; RFC 6531 adds non-ASCII): no server or mail program can read more than
# one address in it, or none.
_ATOM = r"""[^\x00-\x20\x7f-\xa0\s<>()\[\],;:"\\@.]+"""
_ATOMS = rf"{_ATOM}(?:\.{_ATOM})*"
# The only ASCII in a domain's labels are letters, digits and hyphens (RFC 5321, 4.1.2): no encoded word looks like one.
_LABEL = r"[^\x00-\x2c\x2e\x2f\x3a-\x40\x5b-\x60\x7b-\xa0\s]+"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_NAME = r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>@,:;()\[\]]*?))"""
MAILBOX = re.compile(rf"(?:{_NAME} )?<(?P<address>{_ATOMS}@{_DOMAIN})>")
MESSAGE_ID = re.compile(r"<[0-9a-f]{32}@[a-z0-9.-]+>")
_PLAIN_HEADERS = {
    "list-id": re.compile(r"<[a-z0-9.-]+>"),
    "list-unsubscribe-post": re.compile(r"List-Unsubscribe=One-Click"),
    "auto-submitted": re.compile(r"auto-(?:replied|generated)"),
    "mime-version": re.compile(r"1\.0"),
}
# An encoded word in base64 with padding before its end: some mail programs read on behind the padding, others don't.
_LOOSE_WORD = re.compile(r"=\?[^?]*\?[bB]\?(?!(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\?=)")
# Quoted-printable that is read in more than one way (RFC 2045, 6.7): blanks at a line's end, `=` without a code.
_LOOSE_QUOTING = re.compile(r"[ \t](?:\r\n|\Z)|=(?![0-9A-F]{2}|\r\n)")
LINK_HEADER = re.compile(r"<https?://[!-;=?-~]+>")


class GateRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """These bytes must not be sent; the message says why and repeats no address."""


def check(data: bytes, *, sender: str, recipient: str, own: Collection[str]) -> None:
    """Check a letter's final bytes. Raises GateRefused."""
    check_lines(data)
    message = BytesParser(policy=compat32).parsebytes(data)
    if message.defects or message.get_unixfrom():
        _refuse("its head is not made of whole headers, or its parts are not whole")
    headers = [(name.lower(), unfolded(value)) for name, value in message.raw_items()]
    headers = check_signatures(headers)
    _check_names([name for name, _ in headers])
    found = dict(headers)
    _check_values(found, sender=sender, recipient=recipient, own=own)
    allowed = (*own, sender, recipient)
    for name, value in headers:
        # Message-ID and the mailboxes have been checked whole.
        if name not in {"message-id", "from", "to", "reply-to"}:
            _check_text(_decoded(value, name), allowed, f"the header {name}")
    for number, part in enumerate(parts_of(message, found["content-type"]), 1):
        _check_text(content_of(part), allowed, f"part {number}")


def _check_values(found: dict[str, str], *, sender: str, recipient: str, own: Collection[str]) -> None:
    if _mailbox(found["to"], "To") != recipient:
        _refuse("its To is not the address on the envelope")
    if _mailbox(found["from"], "From") != sender:
        _refuse("its From is not the shop's")
    if not MESSAGE_ID.fullmatch(found["message-id"]):
        _refuse("its Message-ID says more than it should")
    if "reply-to" in found and _mailbox(found["reply-to"], "Reply-To") not in own:
        _refuse("its Reply-To is not the shop's")
    for name, plain in _PLAIN_HEADERS.items():
        if name in found and not plain.fullmatch(found[name]):
            _refuse(f"its header {name} says more than it should")
    if "list-unsubscribe" in found and not LINK_HEADER.fullmatch(found["list-unsubscribe"]):
        _refuse("its List-Unsubscribe is not one plain link")


def _refuse(reason: str) -> NoReturn:
    message = f"a letter was stopped at the gate: {reason}"
    raise GateRefused(message)


def check_lines(data: bytes) -> None:
    """Check the lines of a letter, or of its head. Raises GateRefused."""
    lines = data.split(b"\r\n")
    if any(b"\r" in line or b"\n" in line or b"\0" in line for line in lines):
        _refuse("it has a bare line break or a NUL in it")
    if max(map(len, lines)) > LONGEST_LINE:
        _refuse(f"it has a line longer than {LONGEST_LINE} bytes")
    if any(line.startswith(b".") for line in lines):
        _refuse("it has a line that starts with a dot")
    if lines[-1] != b"":
        _refuse("its last line is not ended")


def check_signatures(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Check the signatures at the top; return the headers below them. Raises GateRefused."""
    count = next((place for place, (name, _) in enumerate(headers) if name != SIGNATURE), len(headers))
    for _, value in headers[:count]:
        if count > MOST_SIGNATURES or not _SIGNATURE.fullmatch(re.sub(r"[ \t]", "", value)):
            _refuse("its signature says more than it should")
    return headers[count:]


def _check_names(names: list[str]) -> None:
    for name in names:
        if name not in ONCE and name not in AT_MOST_ONCE:
            # A header's name can be shaped like an address, too: it is repeated only if it is a plain word.
            shown = name if re.fullmatch(r"[a-z-]{1,40}", name) else "…"
            _refuse(f"it has a header that the mailer does not set: {shown}")
        if names.count(name) > 1:
            _refuse(f"it has more than one {name}")
    for name in ONCE:
        if name not in names:
            _refuse(f"it has no {name}")


def unfolded(value: str) -> str:
    """Return a header's value, as the parser gave it, in one line (RFC 5322, 2.2.3)."""
    # The parser keeps non-ASCII bytes as surrogates; with SMTPUTF8 (RFC 6531) they are UTF-8.
    text = value.encode("ascii", "surrogateescape").decode("utf-8", "replace")
    return re.sub(r"\r\n(?=[ \t])", "", text).strip()


def _decoded(value: str, name: str) -> str:
    """Return a header's value with its encoded words decoded (RFC 2047). Refuses one that can't be decoded."""
    pieces = []
    if _LOOSE_WORD.search(value):
        _refuse(f"the header {name} has an encoded word that is read in more than one way")
    try:
        for piece, charset in decode_header(value):
            # Text between encoded words comes as raw-unicode-escape bytes; without any encoded word it comes as str.
            pieces.append(piece if isinstance(piece, str) else piece.decode(charset or "raw_unicode_escape"))
    except (LookupError, ValueError, HeaderParseError):
        _refuse(f"the header {name} has an encoded word that can't be read")
    text = "".join(pieces)
    if any(unicodedata.category(character) == "Cc" for character in text):
        _refuse(f"the header {name} has a line break or a control character in it")
    return text


def _mailbox(value: str, header: str) -> str:
    match = MAILBOX.fullmatch(value if "<" in value else f"<{value}>")
    if not match:
        _refuse(f"its {header} is not one mailbox")
    name = _decoded(match["quoted"] or match["plain"] or "", header)
    if "@" in unicodedata.normalize("NFKC", name) or address_shaped(name, ()):
        _refuse(f"the name in its {header} has an address in it")
    return match["address"]


def _check_text(text: str, allowed: Collection[str], where: str) -> None:
    if address_shaped(text, allowed):
        _refuse(f"{where} shows an address that is neither the recipient's nor the shop's")


def parts_of(message: Message, content_type: str) -> list[Message]:
    """Return a letter's parts: plain text, or plain text and HTML, and nothing besides. Raises GateRefused."""
    if content_type == PLAIN:
        return [message]
    if not ALTERNATIVE.fullmatch(content_type) or "content-transfer-encoding" in message:
        _refuse("it is put together in a way that the mailer does not")
    parts = [part for part in message.get_payload() if isinstance(part, Message)]
    if [part.items() for part in parts] != [_head_of(PLAIN), _head_of(HTML)] or any(part.defects for part in parts):
        _refuse("its parts are not one plain text and one HTML, with no headers but their own")
    if any(extra and extra.strip() for extra in (message.preamble, message.epilogue)):
        _refuse("it has text outside its parts")
    return parts


def _head_of(kind: str) -> list[tuple[str, str]]:
    return [("Content-Type", kind), ("Content-Transfer-Encoding", ENCODING)]


def content_of(part: Message) -> str:
    """Return the text of a part. Raises GateRefused if it could be read in more than one way."""
    payload = part.get_payload(decode=True)
    if part["content-transfer-encoding"] != ENCODING or not isinstance(payload, bytes):
        _refuse("its text is not in quoted-printable")
    if _LOOSE_QUOTING.search(str(part.get_payload())):
        _refuse("its quoted-printable is read in more than one way")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("its text is not UTF-8")
    if any(unicodedata.category(character) == "Cc" and character not in "\t\r\n" for character in set(text)):
        _refuse("its text has a control character in it")
    return text
