"""Bounces and complaints: a report counts once, for the letter whose return address it came to; a forged one never."""

import base64
import json
import mailbox
import quopri
from email import message_from_bytes, message_from_string
from email.utils import parseaddr
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.customers.consent import frequencies, history
from feedback_app.customers.models import ConsentAction, ConsentChannel, Frequency, Suppression, SuppressionReason
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.bounces.mailbox import MailboxRefused, read_messages
from feedback_app.mailing.bounces.parser import read_report
from feedback_app.mailing.bounces.services import BounceCounts, record_report
from feedback_app.mailing.models import Bounce
from feedback_app.mailing.return_addresses import ReturnAddresses, ReturnedLetter
from feedback_app.security.tokens import Signer
from tests.support.clock import OPPS_DAY, Clock
from tests.support.keys import SECRET_KEY
from tests.support.mailings import counts, gather, held, read, reasons, worker_to
from tests.support.people import ALICE, BOB, customer_of
from tests.support.shop import Shop
from tests.support.smtp import MailServer

RETURNS = ReturnAddresses(Signer(SECRET_KEY, "the signing key"), "Mongrel Socks <hello@mongrelsocks.example>")


def report(to: str, *, action: str = "failed", status: str = "5.1.1", number: int = 1) -> str:
    """A delivery report (RFC 3464) as a server sends it to a return address."""
    return f"""From: Mail Delivery <mailer-daemon@mx.example>
To: {to}
Subject: Undelivered Mail Returned to Sender
Message-ID: <{number}@mx.example>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry to have to inform you of this.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; somebody@y.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 no such user

--b--
"""


def complaint(return_path: str, *, kind: str = "abuse") -> str:
    """A complaint (RFC 5965) as a feedback loop sends it to the shop."""
    return f"""From: feedback@provider.example
To: hello@mongrelsocks.example
Subject: FW: Free socks
Message-ID: <complaint@provider.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an email abuse report.
--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <{return_path}>

--b
Content-Type: message/rfc822

From: Mongrel Socks <hello@mongrelsocks.example>
Return-Path: <{return_path}>
Subject: Free socks

Hello.
--b--
"""


NONSTANDARD = """From: MAILER-DAEMON@qmail.example
To: {to}
Subject: failure notice
Message-ID: <odd@qmail.example>

Hi. This is the qmail-send program at qmail.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<somebody@y.example>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <hello@mongrelsocks.example>
"""
HOLIDAY = """From: Alice <alice@example.com>
To: {to}
Subject: Away
Message-ID: <away@y.example>
Auto-Submitted: auto-replied

I am away until Monday. 550 5.1.1 socks will be mended then.
"""


@pytest.fixture
def letters(sqlite_store: Store, sink: MailServer, clock: Clock) -> list[str]:
    """The return addresses of two letters, to Alice and to Bob."""
    gather(sqlite_store, ALICE, BOB)
    held(sqlite_store, minutes=0, clock=clock)
    worker_to(sink, sqlite_store).work_once()
    return [letter.sender for letter in sink.letters]


def process(store: Store, *texts: str, returns: ReturnAddresses = RETURNS) -> BounceCounts:
    found = BounceCounts()
    for text in texts:
        with store.writing() as session:
            found = record_report(session, read_report(message_from_string(text), returns), found, now=OPPS_DAY)
    return found


def suppressed(store: Store) -> dict[int, SuppressionReason]:
    """Return whose address is suppressed, and why."""
    with store.reading() as session:
        found = {number: session.get(Suppression, customer_of(store, number).fingerprint) for number in (1, 2)}
    return {number: row.reason for number, row in found.items() if row}


def test_a_return_address_is_the_shops_own_mailbox_and_tells_nothing(letters: list[str], sink: MailServer) -> None:
    assert len(set(letters)) == 2
    for letter, address in zip(sink.letters, letters, strict=True):
        assert address.startswith("hello+b")
        assert address.endswith("@mongrelsocks.example")
        assert len(address.partition("@")[0]) <= 64
        assert "alice" not in address
        # What the reader sees is the shop's From; the return address stands on the envelope alone.
        assert parseaddr(read(letter.data)["From"])[1] == "hello@mongrelsocks.example"
        assert address.encode() not in letter.data


@given(st.integers(0, 2**24 - 1), st.integers(0, 2**40 - 1))
def test_a_return_address_is_read_in_any_case(mailing: int, customer: int) -> None:
    address = RETURNS.address(mailing, customer)
    assert RETURNS.read(f"<{address.upper()}>") == ReturnedLetter(mailing, customer)
    assert RETURNS.address(mailing, customer) == address


def test_a_return_address_of_an_earlier_version_is_still_read() -> None:
    """Letters that are on their way when the shop is upgraded may come back later."""
    address = "hello+bpywnei4r2errm4v56yst752j5bavm5oxsakb6yy@mongrelsocks.example"
    assert RETURNS.read(address) == ReturnedLetter(7, 300)
    assert RETURNS.address(7, 300) == address


@given(st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=39, max_size=39))
def test_a_return_address_can_not_be_forged(token: str) -> None:
    assert RETURNS.read(f"hello+b{token}@mongrelsocks.example") is None


def test_a_shop_with_a_long_name_has_no_return_addresses() -> None:
    name = "the-shop-with-the-longest-name-in-town"
    signer = Signer(SECRET_KEY, "the signing key")
    assert ReturnAddresses(signer, f"{name}@y.example").address(1, 1) == f"{name}@y.example"


def test_an_address_that_does_not_exist_gets_no_more_letters(sqlite_store: Store, letters: list[str]) -> None:
    done = process(sqlite_store, report(letters[0]))
    assert done == BounceCounts(hard=1, suppressed=1)
    assert suppressed(sqlite_store) == {1: SuppressionReason.BOUNCED}
    assert reasons(sqlite_store) == ["it came back: the address does not take letters (5.1.1)", "250 ok 2"]
    assert counts(sqlite_store) == {"accepted": 2}


def test_a_report_that_was_read_before_changes_nothing(sqlite_store: Store, letters: list[str]) -> None:
    bounce, again = report(letters[0]), "X-Copied: yes\n" + report(letters[0])
    assert process(sqlite_store, bounce, again, bounce) == BounceCounts(hard=1, suppressed=1, known=2)


@pytest.mark.parametrize(
    ("action", "status"), [("failed", "4.2.2"), ("failed", "5.2.2"), ("delayed", "4.4.1"), ("failed", "5.7.1")]
)
def test_a_soft_bounce_is_counted_and_blocks_no_address(
    action: str, status: str, sqlite_store: Store, letters: list[str]
) -> None:
    assert process(sqlite_store, report(letters[0], action=action, status=status)) == BounceCounts(soft=1)
    assert suppressed(sqlite_store) == {}
    with sqlite_store.reading() as session:
        assert [row.status for row in session.query(Bounce)] == [status]


def test_a_forged_bounce_blocks_no_address(sqlite_store: Store, letters: list[str]) -> None:
    other = letters[0][:8] + ("a" if letters[0][8] != "a" else "b") + letters[0][9:]
    strangers = ReturnAddresses(Signer("another signing key than ours!!!", "theirs"), "hello@mongrelsocks.example")
    forged = (
        report("hello@mongrelsocks.example"),
        report("alice@example.com"),
        report(other),
        report(strangers.address(1, 1)),
        complaint(strangers.address(1, 1)),
        complaint("alice@example.com"),
    )
    assert process(sqlite_store, *forged) == BounceCounts(others=len(forged))
    assert suppressed(sqlite_store) == {}


def test_a_report_that_follows_no_standard_is_read_too(sqlite_store: Store, letters: list[str]) -> None:
    assert process(sqlite_store, NONSTANDARD.format(to=letters[1])) == BounceCounts(hard=1, suppressed=1)
    assert suppressed(sqlite_store) == {2: SuppressionReason.BOUNCED}


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
def test_a_report_about_an_international_address_is_read_like_any_other(
    encoding: str, sqlite_store: Store, letters: list[str]
) -> None:
    head, _, rest = report(letters[0]).partition("Content-Type: message/delivery-status\n\n")
    said, end, rest = rest.partition("--b--")
    said = said.replace("rfc822; somebody", "utf-8; jörg")
    data = {
        "8bit": said.encode(),
        "base64": base64.encodebytes(said.encode()),
        "quoted-printable": quopri.encodestring(said.encode()),
    }[encoding]
    kind = f"Content-Type: message/global-delivery-status\nContent-Transfer-Encoding: {encoding}\n\n"
    message = message_from_bytes(f"{head}{kind}".encode() + data + f"{end}{rest}".encode())
    with sqlite_store.writing() as session:
        assert record_report(session, read_report(message, RETURNS), BounceCounts(), now=OPPS_DAY) == BounceCounts(
            hard=1, suppressed=1
        )
    assert reasons(sqlite_store)[0] == "it came back: the address does not take letters (5.1.1)"


def test_an_answer_or_a_delivered_letter_is_no_bounce(sqlite_store: Store, letters: list[str]) -> None:
    delivered = report(letters[0], action="delivered", status="2.0.0")
    assert process(sqlite_store, HOLIDAY.format(to=letters[0]), delivered) == BounceCounts(others=2)
    assert suppressed(sqlite_store) == {}


def test_a_customer_who_reports_spam_gets_no_more_letters(sqlite_store: Store, letters: list[str]) -> None:
    assert process(sqlite_store, complaint(letters[0])) == BounceCounts(complaints=1, suppressed=1)
    assert process(sqlite_store, complaint(letters[0])) == BounceCounts(known=1)
    assert suppressed(sqlite_store) == {1: SuppressionReason.COMPLAINED}
    with sqlite_store.reading() as session:
        alice = customer_of(sqlite_store, 1)
        assert frequencies(session, alice) == {Topic.SPECIALS: Frequency.NEVER}
        last = history(session, alice)[-1]
        assert (last.action, last.channel) == (ConsentAction.WITHDRAWN, ConsentChannel.COMPLAINT)


def test_a_report_that_is_no_complaint_blocks_no_address(sqlite_store: Store, letters: list[str]) -> None:
    assert process(sqlite_store, complaint(letters[0], kind="not-spam")) == BounceCounts(others=1)
    assert suppressed(sqlite_store) == {}


def test_messages_are_read_from_a_maildir_an_mbox_and_a_file(tmp_path: Path) -> None:
    maildir, mbox, file = mailbox.Maildir(tmp_path / "dir"), mailbox.mbox(tmp_path / "box"), tmp_path / "one.eml"
    for where in (maildir, mbox):
        where.add(report("a@y.example"))
        where.add(NONSTANDARD)
        where.close()
    file.write_text(report("a@y.example"), encoding="utf-8")
    (tmp_path / "nothing").write_text("", encoding="utf-8")
    assert len(list(read_messages(tmp_path / "dir"))) == 2
    assert len(list(read_messages(tmp_path / "box"))) == 2
    assert [message["subject"] for message in read_messages(file)] == ["Undelivered Mail Returned to Sender"]
    assert list(read_messages(tmp_path / "nothing")) == []
    for path, why in ((tmp_path / "no", "No such file"), (tmp_path, "no Maildir")):
        with pytest.raises(MailboxRefused, match=why):
            list(read_messages(path))


@given(st.binary(max_size=400))
def test_garbage_is_no_report(garbage: bytes) -> None:
    text = report("a@y.example").replace("rfc822;", garbage.decode("latin-1"))
    assert read_report(message_from_string(text), RETURNS) is None
    assert read_report(message_from_string(garbage.decode("latin-1")), RETURNS) is None


def test_the_command_says_what_it_did_in_numbers(shop: Shop, sink: MailServer) -> None:
    (shop.folder / "customers.csv").write_text(f"email\n{ALICE.address}\n", encoding="utf-8")
    shop.run("customers", "import", "customers.csv", "--topic", "specials", "--evidence", "paper list, 2007")
    file = "content/mailings/free-socks.md"
    shop.run("mail", "send", file, "--hold", "0", "--wait", smtp_url=sink.url)
    (shop.folder / "bounce.eml").write_text(report(sink.letters[0].sender), encoding="utf-8")
    (shop.folder / "spam.eml").write_text(complaint(sink.letters[0].sender), encoding="utf-8")
    done = shop.json("bounces", "process", "bounce.eml")
    assert done == {"hard": 1, "soft": 0, "complaints": 0, "suppressed": 1, "known": 0, "others": 0, "unreadable": 0}
    assert shop.json("audience", "specials") == []
    again = shop.run("bounces", "process", "bounce.eml")
    assert again.stdout.startswith("0 hard, 0 soft, 0 complaints; 0 addresses suppressed. 1 known from before, 0 not")
    one = shop.run("bounces", "process", "spam.eml")
    assert one.stdout.startswith("0 hard, 0 soft, 1 complaint; 0 addresses suppressed.")
    assert "\nsuppressed     bounced, since 20" in shop.run("customers", "show", ALICE.address).stdout
    refused = shop.run("bounces", "process", "no such file", expect=1)
    assert refused.stderr == "undisclosed: no such file: No such file or directory\n"


def test_a_mailbox_is_read_to_its_end_whatever_lies_in_it(sqlite_shop: Shop, sink: MailServer) -> None:
    shop = sqlite_shop
    (shop.folder / "customers.csv").write_text(f"email\n{ALICE.address}\n{BOB.address}\n", encoding="utf-8")
    shop.run("customers", "import", "customers.csv", "--topic", "specials", "--evidence", "paper list, 2007")
    shop.run("mail", "send", "content/mailings/free-socks.md", "--hold", "0", "--wait", smtp_url=sink.url)
    alice, bob = (letter.sender for letter in sink.letters)
    senseless = NONSTANDARD.format(to=alice).replace("\n\n", "\nContent-Type: text/plain; charset=nonsense\n\n", 1)
    senseless = senseless.replace("Message-ID", "X-Name").replace("qmail-send", "qmäil-send")
    from_afar = NONSTANDARD.format(to=bob).replace("From: MAILER", "From: Zustelldienst für Post MAILER")
    messages = [("Zoë@y.example", report(alice)), ("x@y.example", senseless), ("x@y.example", from_afar)]
    box = "".join(f"From {sender} Wed Oct 10 13:41:00 2007\n{text}\n" for sender, text in messages)
    (shop.folder / "box").write_bytes(box.encode("latin-1"))
    (shop.folder / "noise").write_bytes(b"From \xff\x00\n\xfe\n\nFrom \xe4\n\n" + bytes(range(256)))
    done = shop.run("bounces", "process", "noise", "box", "--json")
    assert json.loads(done.stdout) | {"others": 0} == {
        "hard": 2, "soft": 0, "complaints": 0, "suppressed": 2, "known": 0, "others": 0, "unreadable": 1,
    }  # fmt: skip
    assert done.stderr == ""
    again = shop.run("bounces", "process", "box")
    assert again.stdout.endswith("1 could not be read: they hold to no standard. They lie where they were.\n")
