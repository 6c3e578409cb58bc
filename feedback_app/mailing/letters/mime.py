"""Makes a message's text: headers (RFC 5322, RFC 2047) and parts in quoted-printable (RFC 2045).

Python's EmailMessage is not used: it folds and encodes as it likes, and has let a name add headers.
"""

import base64
import re
from collections.abc import Iterable, Sequence

from feedback_app.mailing.gate.template import GAP, Slot

LINE = 76
# A line with an encoded word has at most 76 characters (RFC 2047, 2), and the header's name is on the first one.
ENCODED_LINE = 76
ENCODED_WORD = ENCODED_LINE - len("Reply-To: ")
_PLAIN = re.compile(r"[ -~]*")
# Needs no encoding anywhere.
_LETTERS = re.compile(r"[A-Za-z](?:[A-Za-z ]{0,60}[A-Za-z])?")


def encoded_words(text: str) -> list[str]:
    """Return a text as base64 encoded words (RFC 2047), split between characters; each fits on a first line."""
    words, piece = [], ""
    for character in text:
        if len(_word(piece + character)) > ENCODED_WORD:
            words.append(_word(piece))
            piece = character
        else:
            piece += character
    return [*words, _word(piece)]


def _word(text: str) -> str:
    return f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def unstructured(text: str) -> str:
    """Return the folded value of an unstructured header such as Subject."""
    words = text.split(" ")
    # Folding between two blanks would lose one, or make a line of blanks only. In encoded words they are kept.
    if _PLAIN.fullmatch(text) and "=?" not in text and "" not in words and all(len(word) < LINE for word in words):
        return _folded(words)
    return "\r\n ".join(encoded_words(text))


def _folded(words: Sequence[str]) -> str:
    lines, line = [], "Subject: "
    for word in words:
        if len(line) + len(word) + 1 > LINE and line.strip():
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
    return "\r\n ".join([*lines, line]).removeprefix("Subject: ").strip()


def mailbox(name: str | None, address: str) -> str:
    """Return a mailbox with its display name, or without if no single word can express the name unambiguously."""
    if not name:
        return address
    if _PLAIN.fullmatch(name) and "=?" not in name and len(name) < LINE:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    words = encoded_words(name)
    return f"{words[0]}\r\n <{address}>" if len(words) == 1 else address


def quoted_printable(text: str, *, slots: bool = False) -> str:
    """Return a text in quoted-printable, with CRLF. No line starts with a dot, so that none needs dot-stuffing.

    With `slots`, gaps are kept, each between soft line breaks: `encode_slot_value` encodes the value later,
    independently of the text around it.
    """
    line_of = _quoted_around if slots else _quoted_line
    return "".join(f"{line_of(line)}\r\n" for line in text.strip("\n").split("\n"))


def encode_slot_value(text: str) -> bytes:
    """Return a slot's value in quoted-printable."""
    if _LETTERS.fullmatch(text):
        return text.encode()
    return _quoted_piece(text, ends=True).encode()


def _quoted_line(line: str) -> str:
    return _quoted_piece(line, ends=True)


def _quoted_around(line: str) -> str:
    # Every second piece is a slot's name.
    pieces = GAP.split(line)
    made = _quoted_piece(pieces[0], ends=len(pieces) == 1)
    for place in range(1, len(pieces), 2):
        break_before = "=\r\n" if made and not made.endswith("=\r\n") else ""
        rest = _quoted_piece(pieces[place + 1], ends=place == len(pieces) - 2)
        made += f"{break_before}{Slot(pieces[place]).gap}=\r\n{rest}"
    return made


def _quoted_piece(text: str, *, ends: bool) -> str:
    """Encode text that begins a line. `ends`: a hard line break follows, before which there must be no blank."""
    pieces: list[str] = []
    length = 0
    raw = text.encode()
    for position, byte in enumerate(raw):
        blank_at_end = ends and byte in b" \t" and position == len(raw) - 1
        plain = (33 <= byte <= 126 and byte not in b"=") or (byte in b" \t" and not blank_at_end)  # noqa: PLR2004 - RFC 2045, 6.7
        code = chr(byte) if plain and not (byte == ord(".") and length == 0) else f"={byte:02X}"
        if length + len(code) > LINE - 1:
            pieces.append("=\r\n")
            length = 0
            code = "=2E" if code == "." else code
        pieces.append(code)
        length += len(code)
    return "".join(pieces)


def message(
    headers: Iterable[tuple[str, str]], *, date: str, boundary: str, text: str, html: str | None, slots: bool = False
) -> str:
    """Return a whole message: plain text, or text and HTML as alternatives.

    `boundary` must be hard to guess; the `=_` added to it can't occur in quoted-printable (RFC 2045, 6.7). With
    `slots`, gaps are kept in the head, and in the parts as `quoted_printable` keeps them.
    """
    head = [*headers, ("Date", date), ("MIME-Version", "1.0")]
    if html is None:
        head += [("Content-Type", 'text/plain; charset="utf-8"'), ("Content-Transfer-Encoding", "quoted-printable")]
        return f"{_head(head)}\r\n{quoted_printable(text, slots=slots)}"
    edge = f"=_{boundary}"
    head.append(("Content-Type", f'multipart/alternative; boundary="{edge}"'))
    parts = "".join(
        f"--{edge}\r\n"
        + _head([("Content-Type", f'text/{kind}; charset="utf-8"'), ("Content-Transfer-Encoding", "quoted-printable")])
        + f"\r\n{quoted_printable(body, slots=slots)}"
        for kind, body in (("plain", text), ("html", html))
    )
    return f"{_head(head)}\r\n{parts}--{edge}--\r\n"


def _head(headers: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)
