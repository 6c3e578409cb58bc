"""Addresses and names: kept as given, found again in any case, and never repeated in a message."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feedback_app.customers.addresses import NAME_LENGTH, Address, BadAddress, BadName, clean_name

SAME = [
    ("alice@example.com", "ALICE@EXAMPLE.COM"),
    ("Alice@Example.com", " alice@example.com\n"),
    ("zoë@example.com", "ZOË@example.com"),
    ("zoe\u0308@example.com", "zoë@example.com"),
    ("tess@bücher.example", "tess@xn--bcher-kva.example"),
    ("tess@BÜCHER.example", "tess@bücher.example"),
    ("用户@例子.example", "用户@xn--fsqu00a.example"),
]
DIFFERENT = [
    ("alice@example.com", "alice@example.org"),
    ("alice+socks@example.com", "alice@example.com"),
    ("a.lice@example.com", "alice@example.com"),
    # casefold() would make these the same.
    ("groß@example.com", "gross@example.com"),
]
NOT_ADDRESSES = [
    "",
    " ",
    "secretperson",
    "@",
    "secretperson@",
    "@secrethost.example",
    "secretperson@secrethost",
    "secretperson@@secrethost.example",
    "secretperson@secrethost.example, other@example.com",
    "secretperson@secrethost.example\r\nBcc: other@example.com",
    "secretperson@secrethost.example\0",
    "secret person@secrethost.example",
    '"secret person"@secrethost.example',
    "Secret <secretperson@secrethost.example>",
    "<secretperson@secrethost.example>",
    "secretperson@[127.0.0.1]",
    "secretperson@-secrethost.example",
    "secretperson@secret\u2603host.example",
    "secretperson@SECRET\u2603HOST.example",
    "secret\u200bperson@secrethost.example",
    "secret\u202eperson@secrethost.example",
    "secretperson\uff20secrethost.example",
    "secretperson@xn--secrethost.example",
    "secret..person@secrethost.example",
    "secretperson@secrethost.localhost",
    "=?utf-8?q?secretperson?=@secrethost",
    "secretperson@" + "secrethost." * 40 + "example",
    "secretperson" * 30 + "@example.com",
    "secretperson@secrethost.example" * 5000,
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_an_address_is_the_same_however_it_is_typed(one: str, other: str) -> None:
    assert Address.parse(one).key == Address.parse(other).key


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_two_peoples_addresses_never_become_one(one: str, other: str) -> None:
    assert Address.parse(one).key != Address.parse(other).key


@pytest.mark.parametrize("text", [address for pair in SAME for address in pair])
def test_an_address_is_kept_as_it_was_given(text: str) -> None:
    address = Address.parse(text)
    assert address.written == text.strip()
    assert Address.parse(address.written) == address


@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_text_that_is_not_an_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(BadAddress) as refused:
        Address.parse(text)
    said = str(refused.value).lower()
    assert said
    assert said.isprintable()
    assert "secret" not in said
    assert "127.0.0.1" not in said


@given(st.text(), st.text())
@example("secret", "se☃cret.example")
def test_no_message_repeats_what_was_typed(local: str, domain: str) -> None:
    # The words before and after it can be recognised wherever they appear.
    text = f"qqqzzz{local}qqqzzz@xxxkkk{domain}xxxkkk"
    said = ""
    try:
        Address.parse(text)
    except BadAddress as refused:
        said = str(refused).lower()
    assert "qqqzzz" not in said
    assert "xxxkkk" not in said


@pytest.mark.parametrize(
    ("text", "shown"),
    [("alice@example.com", "a…@e…"), ("a@b.example", "a…@b…"), ("用户@例子.example", "用…@例…")],
)
def test_a_masked_address_is_recognised_only_by_its_owner(text: str, shown: str) -> None:
    assert Address.parse(text).masked == shown


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (None, None),
        ("", None),
        (" \t\n ", None),
        ("Tess", "Tess"),
        ("  Tess \u00a0 Tailor  ", "Tess Tailor"),
        ("Zoe\u0308", "Zoë"),
        ("O'Brien-Smith, Jr.", "O'Brien-Smith, Jr."),
        ("王小明", "王小明"),
        ("محمد", "محمد"),
        ("Robert'); DROP TABLE customers;--", "Robert'); DROP TABLE customers;--"),
        ("<b>Tess</b>", "<b>Tess</b>"),
        ("{{ name }}", "{{ name }}"),
        ("T" * NAME_LENGTH, "T" * NAME_LENGTH),
    ],
)
def test_a_name_is_cleaned(text: str | None, name: str | None) -> None:
    assert clean_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "Tess\nBcc: eve@evil.example",
        "Tess\r\nBcc: eve",
        "Tess\0",
        "Tess\x1b[31m",
        "Tess\u2028Bcc: eve",
        "Tess\u202egnuoy",
        "Te\u200bss",
        "Tess\ufeff Tailor",
        "tess@example.com",
        "tess\uff20example.com",
        "Tess\ufe6bhome",
        "x=?UTF-8?Q?=0A?=Bcc: eve",
        "=HYPERLINK(1)",
        "+1",
        "-1",
        "|calc",
        "T" * (NAME_LENGTH + 1),
        "Tess\ud800",
    ],
)
def test_a_name_that_looks_like_a_header_formula_or_address_is_refused(text: str) -> None:
    with pytest.raises(BadName) as refused:
        clean_name(text)
    assert str(refused.value).isprintable()
    assert "eve" not in str(refused.value)
    assert text not in str(refused.value)


@given(st.text(st.characters(), max_size=NAME_LENGTH + 10))
def test_any_accepted_name_is_one_line_and_addresses_nobody(text: str) -> None:
    try:
        name = clean_name(text)
    except BadName:
        return
    if name is None:
        assert not text.strip()
        return
    assert name == name.strip()
    assert len(name.splitlines()) == 1
    assert "@" not in unicodedata.normalize("NFKC", name)
    assert "=?" not in name
    assert not {unicodedata.category(sign) for sign in name} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert set(name) & {sign for sign in name if sign.isspace()} <= {" "}
    assert clean_name(name) == name
