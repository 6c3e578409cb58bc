"""A form's bytes are taken apart as everybody takes them apart, and none is lost."""

from io import BytesIO
from urllib.parse import parse_qsl

from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from feedback_app.web.form_encoding import BYTES, FormBytes, read

URLENCODED = "application/x-www-form-urlencoded"
SENT = [*b"& = + % %E9 %26 %3d %0D %4 %zz \xff author ;".split(b" "), b"\r\n", b"\n", b"=\n", b" "]


def parsed(sent: bytes) -> MultiDict[str, str]:
    """What the parser makes of a form."""
    _, form, files = FormBytes(silent=False).parse(BytesIO(sent), URLENCODED, len(sent))
    assert not files
    return form


@given(st.lists(st.sampled_from(SENT)).map(b"".join))
@example(b"body=Odd+pairs&body=are+pairs&&=&author&%6Eotify=%zz")
def test_it_is_taken_apart_as_the_library_does(sent: bytes) -> None:
    theirs = parse_qsl(sent.decode(BYTES), keep_blank_values=True, encoding=BYTES)
    assert sorted(parsed(sent).items(multi=True)) == sorted((read(name).text, value) for name, value in theirs)


def test_a_byte_that_is_not_utf_8_is_kept_until_it_is_known_what_it_says() -> None:
    assert read(parsed(b"author=Ren%E9")["author"]) == ("René", "é")
    assert read(parsed("author=René".encode())["author"]) == ("René", "")
