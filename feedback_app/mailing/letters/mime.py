"""Bytes of a message: headers (RFC 5322, RFC 2047) and parts in quoted-printable (RFC 2045), made to be predictable."""

import base64
import re
from collections.abc import Iterable, Sequence

from feedback_app.mailing.gate.template import GAP, Slot

LINE = 76
# A line with an encoded word is shorter than others (RFC 2047, 2), and the header's name stands before the first.
ENCODED_LINE = 76
ENCODED_WORD = ENCODED_LINE - len("Reply-To: ")
_PLAIN = re.compile(r"[ -~]*")
# Stands for itself wherever it stands.
_LETTERS = re.compile(r"[A-Za-z](?:[A-Za-z ]{0,60}[A-Za-z])?")


def encoded_words(text: str) -> list[str]:
    """A text as base64 encoded words (RFC 2047), each fit for a header's first line, split between characters."""
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
    """The value of a header such as Subject, folded."""
    words = text.split(" ")
    # A line that is folded between two blanks loses one, or has nothing but blanks: encoded, they stay.
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
    """A mailbox with its display name, if the name can be said in one word that no parser reads in another way."""
    if not name:
        return address
    if _PLAIN.fullmatch(name) and "=?" not in name and len(name) < LINE:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    words = encoded_words(name)
    return f"{words[0]}\r\n <{address}>" if len(words) == 1 else address


def quoted_printable(text: str, *, slots: bool = False) -> str:
    """A text's lines in quoted-printable, ended by CRLF; no line starts with a dot, none needs dot-stuffing.

    With `slots`, their gaps stay as they are, each between soft line breaks: what takes its place later is encoded by
    itself (`quoted`), whatever stands around it.
    """
    line_of = _quoted_around if slots else _quoted_line
    return "".join(f"{line_of(line)}\r\n" for line in text.strip("\n").split("\n"))


def quoted(text: str) -> bytes:
    """A word or two in quoted-printable, to fill a slot."""
    if _LETTERS.fullmatch(text):
        return text.encode()
    return _quoted_piece(text, ends=True).encode()


def _quoted_line(line: str) -> str:
    return _quoted_piece(line, ends=True)


def _quoted_around(line: str) -> str:
    # Every second one is a slot's name.
    pieces = GAP.split(line)
    made = _quoted_piece(pieces[0], ends=len(pieces) == 1)
    for place in range(1, len(pieces), 2):
        break_before = "=\r\n" if made and not made.endswith("=\r\n") else ""
        rest = _quoted_piece(pieces[place + 1], ends=place == len(pieces) - 2)
        made += f"{break_before}{Slot(pieces[place]).gap}=\r\n{rest}"
    return made


def _quoted_piece(text: str, *, ends: bool) -> str:
    """Text from a line's start; `ends` when a hard line break comes after it, before which no blank may stand."""
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
    """A whole message: text alone, or text and HTML as alternatives. `boundary` needs no more than to be unguessable.

    `=_` in the boundary cannot occur in quoted-printable (RFC 2045, section 6.7). With `slots` their gaps stay, in the
    head as they are, in the parts as `quoted_printable` says.
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
