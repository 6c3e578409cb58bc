"""A form's bytes are parsed as the standard library parses them, and none is lost."""

from io import BytesIO
from urllib.parse import parse_qsl

from hypothesis import example, given
from hypothesis import strategies as st

from feedback_app.web.form_encoding import BYTE_ENCODING, FormTextParser, decode_field

URLENCODED = "application/x-www-form-urlencoded"
SENT = [*b"& = + % %E9 %26 %3d %0D %4 %zz \xff author ;".split(b" "), b"\r\n", b"\n", b"=\n", b" "]


def parsed(sent: bytes) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return a form's fields as they are parsed, and the guessed letters by field."""
    parser = FormTextParser(silent=False)
    _, form, files = parser.parse(BytesIO(sent), URLENCODED, len(sent))
    assert not files
    return sorted(form.items(multi=True)), parser.guessed


@given(st.lists(st.sampled_from(SENT)).map(b"".join))
@example(b"body=Odd+pairs&body=are+pairs&&=&author&%6Eotify=%zz")
def test_it_is_parsed_as_the_standard_library_does(sent: bytes) -> None:
    pairs = parse_qsl(sent.decode(BYTE_ENCODING), keep_blank_values=True, encoding=BYTE_ENCODING)
    assert parsed(sent)[0] == sorted((decode_field(name).text, decode_field(value).text) for name, value in pairs)


def test_a_letter_that_is_not_utf_8_is_guessed_and_marked() -> None:
    assert parsed(b"author=Ren%E9") == ([("author", "René")], {"author": "é"})
    assert parsed("author=René".encode()) == ([("author", "René")], {})
