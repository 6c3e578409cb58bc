"""Decoding a form's bytes: UTF-8 where they are UTF-8, and a marked guess where they are not."""

from io import BytesIO
from typing import IO, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.formparser import FormDataParser, MultiPartParser

ParsedForm = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]
# Decodes every byte to one character and back, so bytes can be carried in a str until they are decoded for good.
BYTE_ENCODING = "latin-1"
# A byte that is not UTF-8 most likely was Windows-1252, of which Latin-1 is a part. The keys are surrogate escapes
# (PEP 383).
_GUESSES = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}


class DecodedField(NamedTuple):
    """A field's text, and the characters of it that were guessed, each once, in order of appearance."""

    text: str
    guessed: str


def decode_field(raw: str) -> DecodedField:
    """Decode a field whose bytes were kept in `BYTE_ENCODING`."""
    text = raw.encode(BYTE_ENCODING).decode("utf-8", "surrogateescape")
    guessed = dict.fromkeys(_GUESSES[ord(letter)] for letter in text if ord(letter) in _GUESSES)
    return DecodedField(text.translate(_GUESSES), "".join(guessed))


class FormTextParser(FormDataParser):
    """Parses a form into texts, and drops its files. `guessed` maps a field's name to its guessed letters.

    Werkzeug's own parser would leave `%E9` in the text as those three characters, and drop a whole form for one byte
    that is not UTF-8.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the base's options
        """Take Werkzeug's options."""
        super().__init__(**options)
        self.guessed: dict[str, str] = {}

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> ParsedForm:
        """Return the stream, the fields' texts, and no files. A form that can't be parsed has no fields."""
        raw_fields: list[tuple[str, str]] = []
        if mimetype == "application/x-www-form-urlencoded":
            raw_fields = _urlencoded_fields(stream.read())
        elif mimetype == "multipart/form-data":
            raw_fields = self._multipart_fields(stream, content_length, (options or {}).get("boundary", ""))
        texts = []
        for name, raw in raw_fields:
            field = decode_field(raw)
            # Nobody types a NUL, HTML does not allow it, and PostgreSQL refuses it.
            texts.append((name, field.text.replace("\0", "")))
            if field.guessed:
                self.guessed[name] = field.guessed
        return stream, self.cls(texts), self.cls()

    def _multipart_fields(self, stream: IO[bytes], content_length: int | None, boundary: str) -> list[tuple[str, str]]:
        parser = _BytesMultiPartParser(
            # Files are dropped, and a body is small: nothing is spooled to disk that would have to be closed.
            stream_factory=lambda *_args, **_options: BytesIO(),
            max_form_memory_size=self.max_form_memory_size,
            max_form_parts=self.max_form_parts,
        )
        try:
            form, _ = parser.parse(stream, boundary.encode("ascii"), content_length)
        except ValueError:
            return []
        return list(form.items(multi=True))


def _urlencoded_fields(body: bytes) -> list[tuple[str, str]]:
    pairs = [pair.partition(b"=") for pair in body.split(b"&") if pair]
    return [(decode_field(_unquoted(name)).text, _unquoted(value)) for name, _, value in pairs]


def _unquoted(value: bytes) -> str:
    return unquote_to_bytes(value.replace(b"+", b" ")).decode(BYTE_ENCODING)


class _BytesMultiPartParser(MultiPartParser):
    def get_part_charset(self, headers: Headers) -> str:  # noqa: ARG002 - the base's signature
        """Ignore the charset that a part names: its bytes decide."""
        return BYTE_ENCODING
