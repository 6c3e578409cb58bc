"""Letters with everything that people and files can put into them, read back from a real mail server."""

import re
from collections.abc import Iterator
from contextlib import suppress
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
from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, queue_letter
from feedback_app.mailing.gate.check import GateRefused
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.kinds import make_single
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.letters.single_letter import single_letter
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.transports.results import Outcome
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from tests.support import people
from tests.support.mailings import FREE_SOCKS, gather, html_of, letter_context, read, text_of
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
# The beginning of an encoded word (RFC 2047, 2); `=?` alone can be part of an address.
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
    """Return a letter, or None if the gate stopped it."""
    try:
        return MailingLetters(at or letter_context(), draft, 1).letter(person, form, now=NOON)
    except GateRefused:
        return None


def arrived(letter: Letter, server: MailServer, wire: SmtpPool) -> EmailMessage:
    """Return what the server got of a letter. Every parser must find one recipient in it."""
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
    """Check a letter with a parser that shares nothing with Python's: dkimpy's."""
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
    """Check a letter with a parser in Rust: one recipient, the shop's From, and the same words in its parts."""
    mail = parse_email(data)
    assert [one.address for one in mail.to] == [letter.recipient]
    assert (mail.cc, mail.bcc, mail.attachments) == ([], [], [])
    assert mail.from_ is not None
    assert {name.lower() for name in mail.headers} <= {name.lower() for name in HEADERS}
    for kind, found in (("plain", mail.text_plain), ("html", mail.text_html)):
        part = modern.get_body((kind,))
        payload = cast("bytes", part.get_payload(decode=True)) if part else b""
        # The line break before a boundary belongs to the boundary (RFC 2046, 5.1.1); this parser keeps it.
        assert [text.rstrip("\r\n").encode() for text in found] == ([payload.rstrip(b"\r\n")] if part else [])
    return True


def has_one_reader(message: Message, letter: Letter) -> bool:
    """Return whether a message, as its parser understands it, is for this recipient only."""
    if isinstance(message, EmailMessage):
        [to] = message.get_all("To", [])
    else:
        # The old parser does not decode UTF-8 in headers (RFC 6532); compare the bytes.
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
def test_with_any_name_a_letter_has_one_recipient(name: str, server: MailServer, wire: SmtpPool) -> None:
    letter = made(Person(1, ALICE.address, name))
    if letter:
        arrived(letter, server, wire)


@quickly
@given(name=hostile)
def test_a_name_that_the_shop_accepts_is_read_as_it_was_given(name: str, server: MailServer, wire: SmtpPool) -> None:
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
def test_with_any_subject_a_letter_has_one_recipient(subject: str, server: MailServer, wire: SmtpPool) -> None:
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
def test_with_any_text_a_letter_has_one_recipient(body: str, server: MailServer, wire: SmtpPool) -> None:
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
def test_with_any_shop_name_letters_have_one_recipient(
    shop: str, postal: str, sender: str, server: MailServer, wire: SmtpPool
) -> None:
    try:
        at = letter_context(shop_name=shop, shop_postal=postal, mail_from=f'"{sender}" <hello@socks.example>')
    except (SettingsError, ValueError):
        return
    letter = made(Person(1, ALICE.address, None), at=at)
    if letter:
        arrived(letter, server, wire)
    with suppress(GateRefused):
        arrived(link_letter(at), server, wire)


def link_letter(context: LetterContext) -> Letter:
    """Return the letter with a link to Alice's preferences."""
    return single_letter(
        context,
        Person(1, ALICE.address, None),
        template="preferences_link",
        subject=f"Your link to {context.settings.shop_name}",
        message_id=context.message_id("link", 1),
        headers=[("Auto-Submitted", "auto-replied")],
        values={"days": 30, "preferences_link": context.preferences_link(1, NOON)},
        now=NOON,
    )


def test_a_letter_with_a_link_does_not_name_its_recipient(sqlite_store: Store) -> None:
    [number] = gather(sqlite_store, people.Person("Rumpelstiltskin", ALICE.address))
    with sqlite_store.writing() as session:
        request = queue_letter(session, LetterKind.PREFERENCES_LINK, number, now=NOON)
        session.flush()
        letter = make_single(session, letter_context(), request, now=NOON)
    assert letter.recipient == ALICE.address
    assert "Rumpelstiltskin" not in str(read(letter.data))


@quickly
@given(address=addresses)
@example(address="o'brien@x.example")
@example(address="a&copy@x.example")
@example(address="100%25@x.example")
def test_every_address_gets_a_letter(address: str, server: MailServer, wire: SmtpPool) -> None:
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
def test_a_string_that_is_no_address_gets_no_letter_or_its_own_only(
    address: str, server: MailServer, wire: SmtpPool
) -> None:
    letter = made(Person(1, address, None))
    if letter:
        arrived(letter, server, wire)


def test_a_letter_has_its_recipients_links_in_both_parts_and_its_head() -> None:
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


def test_a_customer_who_chose_plain_text_gets_one_part() -> None:
    letter = made(Person(7, ALICE.address, None), form=LetterFormat.TEXT)
    assert letter
    assert read(letter.data).get_content_type() == "text/plain"


def test_an_undisclosed_customer_is_a_friend_without_a_name_in_to() -> None:
    letter = made(Person(7, ALICE.address, None))
    assert letter
    assert read(letter.data)["To"] == ALICE.address
    assert "Hello friend." in text_of(letter.data)


def test_a_name_with_markup_is_escaped() -> None:
    letter = made(Person(7, ALICE.address, "<b>Al</b> & {{ shop }}"))
    assert letter
    assert "Hello <b>Al</b> & {{ shop }}." in text_of(letter.data)
    assert "Hello &lt;b&gt;Al&lt;/b&gt; &amp; {{ shop }}." in html_of(letter.data)


def test_a_long_non_ascii_name_is_in_the_text_but_not_in_to() -> None:
    name = "Þórhildur Æsa " * 5
    letter = made(Person(7, ALICE.address, name.strip()))
    assert letter
    assert read(letter.data)["To"] == ALICE.address
    assert name.strip() in text_of(letter.data)


def test_a_non_ascii_name_is_one_encoded_word_that_every_parser_reads() -> None:
    letter = made(Person(7, ALICE.address, "Þórhildur"))
    assert letter
    old = message_from_bytes(letter.data, policy=policy.compat32)
    assert str(make_header(decode_header(old["To"]))) == f"Þórhildur <{ALICE.address}>"
    assert read(letter.data)["To"].addresses[0].display_name == "Þórhildur"


def test_the_same_letter_has_the_same_message_id_and_two_people_have_two() -> None:
    def message_ids(letters: MailingLetters, *numbers: int) -> list[str]:
        people = [Person(number, ALICE.address, None) for number in numbers]
        return [letters.letter(person, LetterFormat.TEXT, now=NOON).message_id for person in people]

    one, again, other = message_ids(MailingLetters(letter_context(), FREE_SOCKS, 1), 1, 1, 2)
    assert one == again != other
    sample, another_sample = message_ids(MailingLetters(letter_context(), FREE_SOCKS, None), 1, 1)
    assert sample != another_sample


def test_replies_go_to_the_shops_reply_to() -> None:
    letter = made(Person(1, ALICE.address, None), at=letter_context(reply_to="Wren <wren@mongrelsocks.example>"))
    assert letter
    assert read(letter.data)["Reply-To"].addresses[0].addr_spec == "wren@mongrelsocks.example"
    assert isinstance(letter_context().settings, Settings)
