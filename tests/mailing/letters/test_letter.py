"""Letters, with everything that people and files can put into them, read back from a real mail server."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.utils import getaddresses
from typing import cast

import dkim
import pytest
from fast_mail_parser import parse_email
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from feedback_app.config import Settings, SettingsError
from feedback_app.customers.addresses import Address, BadAddress, BadName, clean_name
from feedback_app.customers.models import LetterFormat, Topic
from feedback_app.customers.services import Person
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.composer import LetterContext, MailingMaker, preferences_letter
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.transports.results import Outcome
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from tests.support.mailings import FREE_SOCKS, desk, html_of, read, text_of
from tests.support.people import ALICE
from tests.support.smtp import MailServer, mail_server

NOON = datetime(2007, 10, 10, 12, tzinfo=UTC)
TRICK = "=?UTF-8?Q?=0A?=Bcc: e@x.example"
TRICKS = (
    TRICK,
    "a\r\nBcc: e@x.example",
    "a\nBcc: e@x.example",
    "=?utf-8?B?ZUB4LmV4YW1wbGU=?=",
    'a" <e@x.example>, "b',
    "a <e@x.example>",
    "e@x.example,",
    "e\uff20x.example",
    "\\",
    '"',
    "=?",
    "a\u2028b",
    "\x00",
    "\u202ex",
    "x" * 100,
    "ü" * 100,
    "🧦" * 40,
    "Ægir  Þór",
    "(comment",
    "friends: e@x.example;",
)
HEADERS = {
    "From", "To", "Reply-To", "Subject", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Date",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Auto-Submitted",
}  # fmt: skip
hostile = st.one_of(
    st.sampled_from(TRICKS),
    st.text(max_size=120),
    st.lists(st.sampled_from([*TRICKS, " ", "  ", "x" * 70, "Alice", "ü"]), max_size=5).map("".join),
)
locals_ = st.text("abzABZ019!#$%&'*+-/=?^_`{|}~.ü", min_size=1, max_size=40)
domains = st.sampled_from(["x.example", "bücher.example", "xn--bcher-kva.example", "a-b.c-d.example", "X.Example"])
addresses = st.builds("{}@{}".format, locals_, domains)
# How one begins (RFC 2047, 2); `=?` alone can be a part of an address.
ENCODED_WORD = re.compile(rb"=\?[^?\s]+\?[bq]\?", re.IGNORECASE)
quickly = settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    """One mail server for all examples."""
    with mail_server() as running:
        yield running


@pytest.fixture(scope="module")
def wire(server: MailServer) -> Iterator[SmtpPool]:
    """One connection to it for all letters."""
    transport = SmtpPool(server.url)
    yield transport
    transport.close()


def made(
    person: Person,
    *,
    at: LetterContext | None = None,
    draft: MailingSource = FREE_SOCKS,
    form: LetterFormat = LetterFormat.HTML,
) -> Letter | None:
    """A letter, or None where the gate stopped it."""
    try:
        return MailingMaker(at or desk(), draft, 1).letter(person, form, now=NOON)
    except GateRefused:
        return None


def arrived(letter: Letter, server: MailServer, wire: SmtpPool) -> EmailMessage:
    """What the server got of a letter; it has one reader, whichever way it is read."""
    server.letters.clear()
    assert wire.send(letter).outcome is Outcome.ACCEPTED
    [received] = server.letters
    assert received.data == letter.data
    assert received.recipients == (letter.recipient,)
    assert received.sender == letter.sender
    modern, old = read(received.data), message_from_bytes(received.data, policy=policy.compat32)
    assert has_one_reader(modern, letter)
    assert has_one_reader(old, letter)
    assert has_one_reader_by_its_lines(received.data, letter)
    assert is_read_alike_in_another_language(received.data, modern, letter)
    assert [one.defects for one in modern.walk() if one.defects] == []
    lines = received.data.split(b"\r\n")
    head = lines[: lines.index(b"")]
    assert all(len(line) <= 76 for line in head if ENCODED_WORD.search(line))
    assert all(line.strip() for line in head)
    assert max(len(line) for line in lines[len(head) :]) <= 76
    return modern


def has_one_reader_by_its_lines(data: bytes, letter: Letter) -> bool:
    """The same by a parser that shares nothing with Python's own: that of a library that verifies signatures."""
    headers, _ = dkim.rfc822_parse(data)
    names = [name.decode("ascii").lower() for name, _ in headers]
    [to] = [value.strip() for name, value in headers if name.lower() == b"to"]
    address = letter.recipient.encode()
    assert set(names) <= {name.lower() for name in HEADERS}
    assert len(names) == len(set(names))
    assert to == address or to.endswith(b"<" + address + b">")
    assert to.count(b"@") == 1
    return True


def is_read_alike_in_another_language(data: bytes, modern: EmailMessage, letter: Letter) -> bool:
    """By a parser in Rust: for the same reader, from the shop alone, and with the same words in its parts."""
    mail = parse_email(data)
    assert [one.address for one in mail.to] == [letter.recipient]
    assert (mail.cc, mail.bcc, mail.attachments) == ([], [], [])
    assert mail.from_ is not None
    assert {name.lower() for name in mail.headers} <= {name.lower() for name in HEADERS}
    for kind, found in (("plain", mail.text_plain), ("html", mail.text_html)):
        part = modern.get_body((kind,))
        payload = cast("bytes", part.get_payload(decode=True)) if part else b""
        # The break before a boundary is the boundary's (RFC 2046, 5.1.1): this parser leaves it where it is.
        assert [text.rstrip("\r\n").encode() for text in found] == ([payload.rstrip(b"\r\n")] if part else [])
    return True


def has_one_reader(message: Message, letter: Letter) -> bool:
    """Whether a message, as its parser understands it, is for this reader and nobody else."""
    if isinstance(message, EmailMessage):
        [to] = message.get_all("To", [])
    else:
        # The old parser has no reading of its own for UTF-8 in a head (RFC 6532): the bytes are what it says.
        [raw] = (value for name, value in message.raw_items() if name.lower() == "to")
        to = raw.encode("ascii", "surrogateescape").decode()
    readers = [address for _, address in getaddresses([str(to).replace("\r\n", "")])]
    assert set(message.keys()) <= HEADERS
    assert len(message.keys()) == len(set(message.keys()))
    assert readers == [letter.recipient]
    assert [part.get_content_type() for part in message.walk() if not part.is_multipart()] in (
        ["text/plain", "text/html"],
        ["text/plain"],
    )
    return True


@quickly
@given(name=hostile)
@example(name=TRICK)
def test_whatever_somebody_is_called_their_letter_has_one_reader(name: str, server: MailServer, wire: SmtpPool) -> None:
    letter = made(Person(1, ALICE.address, name))
    if letter:
        arrived(letter, server, wire)


@quickly
@given(name=hostile)
def test_a_name_that_the_shop_takes_makes_a_letter_and_is_read_as_it_was_given(
    name: str, server: MailServer, wire: SmtpPool
) -> None:
    try:
        cleaned = clean_name(name)
    except BadName:
        return
    letter = made(Person(1, ALICE.address, cleaned))
    assert letter
    message = arrived(letter, server, wire)
    [to] = message["To"].addresses
    assert to.display_name in {cleaned or "", ""}
    assert text_of(letter.data).startswith(f"Hello {cleaned or 'friend'}.")


@quickly
@given(subject=hostile)
@example(subject=TRICK)
def test_whatever_a_subject_says_the_letter_has_one_reader(subject: str, server: MailServer, wire: SmtpPool) -> None:
    letter = made(Person(1, ALICE.address, None), draft=MailingSource("s", Topic.SPECIALS, subject, "friend", "Hello."))
    if letter:
        arrived(letter, server, wire)


@quickly
@given(subject=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="@"), max_size=150))
@example(subject="a" * 66 + "  " + "b" * 70)
@example(subject="word " * 20)
@example(subject="a    b" * 20)
@example(subject="Grüße 🧦 " * 10)
def test_a_subject_is_read_as_it_was_written(subject: str, server: MailServer, wire: SmtpPool) -> None:
    subject = subject.strip()
    assume(subject.isprintable() and "\uff20" not in subject and "\ufe6b" not in subject)
    letter = made(Person(1, ALICE.address, None), draft=MailingSource("s", Topic.SPECIALS, subject, "friend", "Hello."))
    assert letter
    assert arrived(letter, server, wire)["Subject"] == subject


@quickly
@given(body=st.one_of(hostile, st.text(max_size=500), st.lists(hostile, max_size=6).map("\n".join)))
@example(body=".")
@example(body="\n.\n..\n.")
@example(body="x" * 74 + ".")
@example(body="x" * 75 + "." * 80)
@example(body=" " * 100)
@example(body="From the mill\n")
@example(body="x" * 2000 + "ü🧦" * 100)
@example(body="--=_boundary--\n\n--")
def test_whatever_a_text_says_the_letter_has_one_reader(body: str, server: MailServer, wire: SmtpPool) -> None:
    assume("{" not in body and "\ue000" not in body)
    for form in LetterFormat:
        letter = made(
            Person(1, ALICE.address, None), draft=MailingSource("s", Topic.SPECIALS, "S", "you", body), form=form
        )
        if letter:
            arrived(letter, server, wire)


@quickly
@given(text=st.text(max_size=300))
@example(text="a \nb\t\n c")
@example(text="=\n=3D\n=\r")
def test_a_text_in_quoted_printable_is_read_as_it_was_written(text: str) -> None:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    data = mime.quoted_printable(text).encode()
    assert not re.search(rb"(^|\n)\.|[ \t]\r\n|[^\r]\n|[^\r\n]{77}", data)
    payload = message_from_bytes(head + data).get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode() == "\r\n".join(text.strip("\n").split("\n")) + "\r\n"


@quickly
@given(shop=hostile, postal=hostile, sender=hostile)
@example(shop=TRICK, postal=TRICK, sender=TRICK)
def test_whatever_the_shop_is_called_its_letters_have_one_reader(
    shop: str, postal: str, sender: str, server: MailServer, wire: SmtpPool
) -> None:
    try:
        at = desk(shop_name=shop, shop_postal=postal, mail_from=f'"{sender}" <hello@socks.example>')
    except (SettingsError, ValueError):
        return
    letter = made(Person(1, ALICE.address, None), at=at)
    if letter:
        arrived(letter, server, wire)
    try:
        link = preferences_letter(at, Person(1, ALICE.address, "Rumpelstiltskin"), request=1, now=NOON)
    except GateRefused:
        return
    message = arrived(link, server, wire)
    assert "Rumpelstiltskin" not in str(message)


@quickly
@given(address=addresses)
@example(address="o'brien@x.example")
@example(address="a&copy@x.example")
@example(address="100%25@x.example")
def test_whoever_has_an_address_gets_a_letter_at_it(address: str, server: MailServer, wire: SmtpPool) -> None:
    try:
        written = Address.parse(address).written
    except BadAddress:
        return
    letter = made(Person(1, written, "A. Reader"))
    assert letter
    arrived(letter, server, wire)


@quickly
@given(
    address=st.one_of(
        hostile, st.builds("{}{}".format, addresses, hostile), st.builds("{},{}".format, addresses, addresses)
    )
)
@example(address="0@x.example=?utf-8?B?ZUB4LmV4YW1wbGU=?=" + "x" * 100)
@example(address="0" * 69 + "=?@0")
def test_what_is_no_address_gets_no_letter_or_one_for_itself_alone(
    address: str, server: MailServer, wire: SmtpPool
) -> None:
    letter = made(Person(1, address, None))
    if letter:
        arrived(letter, server, wire)


def test_a_letter_has_the_links_of_its_reader_in_both_parts_and_in_its_head() -> None:
    letter = made(Person(7, ALICE.address, ALICE.name))
    assert letter
    message = read(letter.data)
    link = str(message["List-Unsubscribe"]).strip("<>")
    assert link in text_of(letter.data)
    assert f'href="{link}"' in html_of(letter.data)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert (
        message["To"] == f'"{ALICE.name}" <{ALICE.address}>' or str(message["To"]) == f"{ALICE.name} <{ALICE.address}>"
    )
    assert b"=?" not in letter.data[: letter.data.index(b"\r\n\r\n")]


def test_a_reader_of_plain_text_gets_one_part() -> None:
    letter = made(Person(7, ALICE.address, None), form=LetterFormat.TEXT)
    assert letter
    assert read(letter.data).get_content_type() == "text/plain"


def test_somebody_undisclosed_is_a_friend_and_has_no_name_in_the_head() -> None:
    letter = made(Person(7, ALICE.address, None))
    assert letter
    assert read(letter.data)["To"] == ALICE.address
    assert "Hello friend." in text_of(letter.data)


def test_a_name_with_markup_is_shown_and_not_obeyed() -> None:
    letter = made(Person(7, ALICE.address, "<b>Al</b> & {{ shop }}"))
    assert letter
    assert "Hello <b>Al</b> & {{ shop }}." in text_of(letter.data)
    assert "Hello &lt;b&gt;Al&lt;/b&gt; &amp; {{ shop }}." in html_of(letter.data)


def test_a_long_name_beyond_ascii_is_left_out_of_the_head_but_not_out_of_the_text() -> None:
    name = "Þórhildur Æsa " * 5
    letter = made(Person(7, ALICE.address, name.strip()))
    assert letter
    assert read(letter.data)["To"] == ALICE.address
    assert name.strip() in text_of(letter.data)


def test_a_name_beyond_ascii_is_one_encoded_word_that_every_parser_reads() -> None:
    letter = made(Person(7, ALICE.address, "Þórhildur"))
    assert letter
    old = message_from_bytes(letter.data, policy=policy.compat32)
    assert str(make_header(decode_header(old["To"]))) == f"Þórhildur <{ALICE.address}>"
    assert read(letter.data)["To"].addresses[0].display_name == "Þórhildur"


def test_the_same_letter_has_the_same_name_and_two_people_have_two() -> None:
    maker = MailingMaker(desk(), FREE_SOCKS, 1)
    one, again, other = (maker.message_id(Person(number, ALICE.address, None)) for number in (1, 1, 2))
    assert one == again != other
    sample = MailingMaker(desk(), FREE_SOCKS, None)
    assert sample.message_id(Person(1, ALICE.address, None)) != sample.message_id(Person(1, ALICE.address, None))


def test_answers_go_where_the_shop_says() -> None:
    letter = made(Person(1, ALICE.address, None), at=desk(reply_to="Wren <wren@mongrelsocks.example>"))
    assert letter
    assert read(letter.data)["Reply-To"].addresses[0].addr_spec == "wren@mongrelsocks.example"
    assert isinstance(desk().settings, Settings)
