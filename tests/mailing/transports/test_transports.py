"""One letter and one server: what every reply means for the letter."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_app.config import load_settings
from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.transports.outbox import OutboxTransport
from feedback_app.mailing.transports.registry import open_transport
from feedback_app.mailing.transports.results import Answer, Outcome, TransportRefused
from feedback_app.mailing.transports.scrub import scrub
from feedback_app.mailing.transports.smtp_connection import SmtpConnection
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from feedback_app.security.tokens import Signer
from tests.support.clock import OPPS_DAY
from tests.support.keys import SECRET_KEY
from tests.support.mailings import FREE_SOCKS
from tests.support.people import ALICE
from tests.support.smtp import MailServer, mail_server

GARBAGE = ("hello?", "999 what", "100 hm", "\x00\x01\x02", "25")
COMMANDS = {"ehlo", "helo", "mail", "rcpt", "data", "rset", "quit"}


@pytest.fixture
def letter() -> Letter:
    """A letter to Alice."""
    desk = LetterContext(load_settings({}), Signer(SECRET_KEY, "the signing key"))
    return MailingLetters(desk, FREE_SOCKS, 1).letter(Person(1, ALICE.address, None), LetterFormat.HTML, now=OPPS_DAY)


@pytest.fixture(params=["in groups", "one by one"])
def server(request: pytest.FixtureRequest) -> Iterator[MailServer]:
    """A mail server, with and without pipelining."""
    with mail_server() as running:
        running.pipelining = request.param == "in groups"
        yield running


def sent(letter: Letter, server: MailServer) -> Answer:
    """Return the answer to a letter on a new connection. The server must have got nothing but commands as commands."""
    with open_transport(server.url) as transport:
        answer = transport.send(letter)
    assert {command.split(" ")[0].lower() for command in server.commands} <= COMMANDS
    return answer


def says(server: MailServer, verb: str, answer: str) -> None:
    """Let the server give this reply to one command."""
    server.script = lambda said, _taken: answer if said == verb else None


@pytest.mark.parametrize("answer", ["close", "421 4.3.2 shutting down", *GARBAGE])
@pytest.mark.parametrize("verb", ["CONNECT", "MAIL", "RCPT", "DATA"])
def test_a_letter_was_not_sent_if_before_it_the_server_says(
    answer: str, verb: str, letter: Letter, server: MailServer
) -> None:
    says(server, verb, answer)
    assert sent(letter, server).outcome is Outcome.NOT_SENT
    assert server.letters == []


@pytest.mark.parametrize("answer", ["close", *GARBAGE, "199 what", "354 go on"])
def test_a_letter_is_in_doubt_if_after_it_the_server_says(answer: str, letter: Letter, server: MailServer) -> None:
    says(server, "DOT", answer)
    assert sent(letter, server).outcome is Outcome.UNKNOWN
    assert server.connections == 1


@pytest.mark.parametrize(
    ("verb", "answer"),
    [("MAIL", "220 hello"), ("MAIL", "354 go on"), ("RCPT", "200 fine"), ("RCPT", "354 go on"), ("DATA", "250 ok")],
)
def test_a_reply_to_another_command_is_not_taken_for_yes(
    verb: str, answer: str, letter: Letter, server: MailServer
) -> None:
    says(server, verb, answer)
    assert sent(letter, server).outcome is Outcome.NOT_SENT
    assert server.letters == []


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
@pytest.mark.parametrize(("code", "outcome"), [(450, Outcome.DEFERRED), (452, Outcome.DEFERRED), (554, Outcome.FAILED)])
def test_a_refusal_is_temporary_or_permanent(
    verb: str, code: int, outcome: Outcome, letter: Letter, server: MailServer
) -> None:
    says(server, verb, f"{code} no, <alice@example.com>")
    assert sent(letter, server) == Answer(outcome, f"{code} no, …@…")
    assert server.letters == []


def test_a_server_without_ehlo_gets_the_letter(letter: Letter, server: MailServer) -> None:
    says(server, "EHLO", "502 what is EHLO")
    assert sent(letter, server).outcome is Outcome.ACCEPTED


def test_a_recipient_who_is_forwarded_is_no_refusal(letter: Letter, server: MailServer) -> None:
    says(server, "RCPT", "251 will forward")
    assert sent(letter, server).outcome is Outcome.ACCEPTED


def test_if_no_server_listens_nothing_is_sent(letter: Letter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nowhere = MailServer(port=unused.getsockname()[1])
    answer = sent(letter, nowhere)
    assert answer.outcome is Outcome.NOT_SENT
    assert "Connection refused" in answer.words


def test_no_letter_crosses_a_network_unencrypted_unless_the_owner_says_so() -> None:
    with pytest.raises(TransportRefused, match="would show every letter to the network"):
        SmtpPool("smtp://mail.example:25")
    for url in ("smtp://127.0.0.1:25", "smtp://[::1]:25", "smtp://localhost:25", "smtps://mail.example"):
        SmtpPool(url)
    told = load_settings({"UNDISCLOSED_SMTP_URL": "smtp://mail.example:25?unencrypted"})
    SmtpPool(told.smtp_url)


def test_a_servers_words_are_kept_as_one_short_line_without_an_address() -> None:
    assert scrub("550\r\n  <bob@y.example>:\x00\x1b[31m no\n") == "550 …@… [31m no"
    assert len(scrub("x" * 5000)) == 200


@pytest.mark.parametrize(
    "words",
    [
        "550 5.1.1 see https://mx.example/?user=bob%40y.example",
        "550 5.1.1 bob\uff20y.example is nobody's",
        "550 5.1.1 bob @ y.example is nobody's",
        "550 5.1.1 bob&#64;y.example is nobody's",
        "550 5.1.1 SRS0=x=bob=40y.example",
        "550 5.1.1 Ym9iQHkuZXhhbXBsZQ== is nobody's",
    ],
)
def test_of_words_with_a_disguised_address_only_the_codes_are_kept(words: str) -> None:
    assert scrub(words) == "550 5.1.1 (with an address in its words, which are not kept)"


def test_a_servers_words_without_an_address_are_kept_as_they_are() -> None:
    for words in (
        "250 2.0.0 Ok: queued as 4XqYzR2kTnz3hSxL",
        "250 2.0.0 OK 1700000000 a1-20020a05600c2e0100b0040d5ae2c1f8si123456wmf.85 - gsmtp",
        "550 5.7.1 Your mail is 100% unwanted; see https://mx.example/why?code=17",
    ):
        assert scrub(words) == words


def test_a_letter_in_the_outbox_is_private_and_its_name_tells_nothing(letter: Letter, tmp_path: Path) -> None:
    with open_transport(f"outbox:{tmp_path / 'new' / 'outbox'}") as transport:
        assert transport.send(letter).outcome is Outcome.ACCEPTED
        assert transport.send(letter).outcome is Outcome.ACCEPTED
    folder = tmp_path / "new" / "outbox"
    files = sorted(folder.iterdir())
    assert [file.read_bytes() for file in files] == [letter.data] * 2
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 2
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not any(word in file.name for file in files for word in ("alice", "example", "free-socks"))


def test_an_outbox_that_can_not_be_written_to_leaves_nothing_behind(letter: Letter, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = OutboxTransport(f"outbox:{tmp_path / 'file'}").send(letter)
    assert answer.outcome is Outcome.NOT_SENT
    assert answer.words == "the outbox can't be written to: File exists"


def commands_of(server: MailServer) -> list[str]:
    """Return the commands that a server got after the greeting."""
    return [
        command.split(" ")[0] for command in server.commands if command.split(" ")[0].upper() not in {"EHLO", "QUIT"}
    ]


def test_an_envelope_travels_with_the_letter_before_it(letter: Letter, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[bytes] = []
    write = SmtpConnection.write

    def noted(self: SmtpConnection, data: bytes) -> None:
        groups.append(data)
        write(self, data)

    monkeypatch.setattr(SmtpConnection, "write", noted)
    with mail_server() as server:
        transport = SmtpPool(server.url)
        for _ in range(3):
            transport.submit(letter)
        assert len(server.letters) <= 2
        assert [answer and answer.outcome for _, answer in transport.all_answers()] == [Outcome.ACCEPTED] * 3
        transport.close()
    envelope = f"MAIL FROM:<{letter.sender}>\r\nRCPT TO:<{letter.recipient}>\r\nDATA\r\n".encode()
    whole = letter.data + b".\r\n"
    assert groups == [envelope, whole + envelope, whole + envelope, whole, b"QUIT\r\n"]


@pytest.mark.parametrize(
    ("verb", "between"),
    [("MAIL", []), ("RCPT", []), ("DATA", ["RSET"])],
)
def test_a_refused_envelope_is_reset_only_if_that_is_needed(
    verb: str, between: list[str], letter: Letter, server: MailServer
) -> None:
    refusals = ["550 no"]
    server.script = lambda said, _taken: refusals.pop() if said == verb and refusals else None
    if verb == "MAIL":
        # Servers that know of no sender refuse the rest of the envelope, too.
        rest = ["503 no sender", "503 no sender"]
        server.script = lambda said, _taken: (
            refusals.pop() if said == "MAIL" and refusals else rest.pop() if said in {"RCPT", "DATA"} and rest else None
        )
        if not server.pipelining:
            rest.clear()
    if verb == "RCPT" and not server.pipelining:
        between = ["RSET"]
    with open_transport(server.url) as transport:
        transport.submit(letter)
        transport.submit(letter)
        outcomes = [answer.outcome for _, answer in transport.all_answers() if answer]
    assert outcomes == [Outcome.FAILED, Outcome.ACCEPTED]
    assert server.connections == 1
    told = commands_of(server)
    assert told[-3 - len(between) :] == [*between, "MAIL", "RCPT", "DATA"]
    assert ("RSET" in told) == bool(between)


def test_a_server_that_asks_for_a_letter_without_recipients_gets_an_empty_one(letter: Letter) -> None:
    refusals = ["550 no such user"]
    with mail_server(lambda said, _taken: refusals.pop() if said == "RCPT" and refusals else None) as server:
        assert sent(letter, server).outcome is Outcome.FAILED
    assert server.without_recipients == [b""]
    assert server.letters == []


def test_a_server_that_asks_for_a_letter_that_it_refused_gets_nothing(letter: Letter) -> None:
    with mail_server(lambda said, _taken: "550 not from you" if said == "MAIL" else None) as server:
        assert sent(letter, server).outcome is Outcome.FAILED
    assert server.letters == []
    assert server.without_recipients == []
