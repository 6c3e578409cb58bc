"""The bytes of a form as text: UTF-8 where they are; where they are not, as whoever typed them would read them."""

import re
from binascii import a2b_qp
from typing import IO, NamedTuple
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.formparser import FormDataParser, MultiPartParser

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]
# What stands for one byte each, without loss, until it is known what they say.
BYTES = "latin-1"
_ESCAPED = re.compile(rb"[^%]*+(?:%[0-9A-Fa-f]{2}[^%]*+)*+", re.DOTALL)
# What a byte that is no UTF-8 most likely was: a letter of Windows-1252, of which Latin-1 is a part.
_GUESSES = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}


class Read(NamedTuple):
    """What a field says, and the characters of it that are a guess, each once, in their order."""

    text: str
    guessed: str


def read(said: str) -> Read:
    """What a field says whose bytes were kept (`BYTES`)."""
    if said.isascii():
        return Read(said, "")
    text = said.encode(BYTES).decode("utf-8", "surrogateescape")
    strange = dict.fromkeys(_GUESSES[ord(letter)] for letter in text if ord(letter) in _GUESSES)
    return Read(text.translate(_GUESSES) if strange else text, "".join(strange))


class FormBytes(FormDataParser):
    """A parser of forms that loses no byte: values come as `BYTES`.

    Werkzeug's own would leave `%E9` standing as that, and drop a whole form for one byte that is not UTF-8.
    """

    def _parse_urlencoded(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002 - the base's signature
        content_length: int | None,  # noqa: ARG002 - the same
        options: dict[str, str],  # noqa: ARG002 - the same
    ) -> Parsed:
        pairs = [pair.partition(b"=") for pair in stream.read().split(b"&") if pair]
        return stream, self.cls([(read(_typed(name)).text, _typed(value)) for name, _, value in pairs]), self.cls()

    def _parse_multipart(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002 - the base's signature
        content_length: int | None,
        options: dict[str, str],
    ) -> Parsed:
        parser = _PartBytes(
            stream_factory=self.stream_factory,
            max_form_memory_size=self.max_form_memory_size,
            max_form_parts=self.max_form_parts,
            cls=self.cls,
        )
        boundary = options.get("boundary", "").encode("ascii")
        if not boundary:
            return stream, self.cls(), self.cls()
        return stream, *parser.parse(stream, boundary, content_length)


def _typed(sent: bytes) -> str:
    said = sent.replace(b"+", b" ")
    # Not `in`: Python would ask first whether what is looked for is a number.
    if said.find(b"%") < 0:
        return said.decode(BYTES)
    if not _ESCAPED.fullmatch(said):
        return unquote_to_bytes(said).decode(BYTES)
    # Each stands before two digits: it is written as in a letter, but for the sign (RFC 2045, section 6.7).
    return a2b_qp(said.replace(b"=", b"=3D").replace(b"%", b"=")).decode(BYTES)


class _PartBytes(MultiPartParser):
    def get_part_charset(self, headers: Headers) -> str:  # noqa: ARG002 - the base's signature
        """Whatever a part says of itself: its bytes are looked at."""
        return BYTES
