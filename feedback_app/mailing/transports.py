"""Ways a letter leaves: over SMTP, or into a folder. Each takes one `Letter` at a time, and nothing else."""

import ipaddress
import re
import secrets
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from feedback_app.mailing.letter import Letter

SECONDS = 30
LONGEST_ANSWER = 200
# What each command is answered with when it goes on (RFC 5321, 4.3.2). Any other answer that is no refusal is no
# answer to it: a server that says 250 to DATA would read the letter as commands.
_STEPS = {"MAIL": {250}, "RCPT": {250, 251}, "DATA": {354}}
_ADDRESS = re.compile(r"\S+@\S+")


class Outcome(StrEnum):
    """What became of one letter at the next server."""

    ACCEPTED = "accepted"
    # 4xx: the server asks to try again.
    DEFERRED = "deferred"
    # 5xx: the server will not have it.
    FAILED = "failed"
    # The connection broke before the letter was complete: nobody has it, and it costs no attempt.
    NOT_SENT = "not sent"
    # The connection broke after DATA's end and before the answer: somebody may have it.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """An outcome and the server's words, with anything like an address taken out."""

    outcome: Outcome
    words: str


class TransportRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The transport's setting can't be used; one line that says why."""


class Transport(Protocol):
    """A way for a letter to leave."""

    def send(self, letter: Letter) -> Answer:
        """Hand one letter to the next server. Never raises for what a server does."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


def scrub(words: str) -> str:
    """A server's words for the ledger: one printable line, no address in it."""
    line = "".join(character if character.isprintable() else " " for character in words)
    return _ADDRESS.sub("…@…", " ".join(line.split()))[:LONGEST_ANSWER]


class OutboxTransport:
    """Writes one `.eml` file a letter, readable by this user only; its name says nothing about the recipient."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made when the first letter comes."""
        self.folder = folder

    def send(self, letter: Letter) -> Answer:
        """Write the letter."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.eml"
        draft = self.folder / f".{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.touch(mode=0o600)
            draft.write_bytes(letter.data)
            draft.replace(self.folder / name)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            return Answer(Outcome.NOT_SENT, f"the outbox can't be written to: {error.strerror}")
        return Answer(Outcome.ACCEPTED, "written to the outbox")

    def close(self) -> None:
        """Nothing is open."""


class SmtpTransport:
    """One SMTP connection (RFC 5321), opened when the first letter comes and used for all."""

    def __init__(self, url: str) -> None:
        """Take the server's URL. Raises TransportRefused where letters would cross a network unencrypted."""
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or {"smtps": 465, "smtp+starttls": 587}.get(parts.scheme, 25)
        self._scheme = parts.scheme
        self._login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._smtp: smtplib.SMTP | None = None
        if self._scheme == "smtp" and not _loopback(self._host):
            message = (
                "smtp:// to another machine would show every letter to the network: use smtp+starttls:// or smtps://"
            )
            raise TransportRefused(message)

    def send(self, letter: Letter) -> Answer:
        """Send one letter: MAIL, one RCPT, DATA.

        Servers hang up on connections that were idle: a letter that did not leave through an old one gets a new one.
        """
        old = self._smtp is not None
        answer = self._send(letter)
        if old and answer.outcome is Outcome.NOT_SENT:
            self._drop()
            answer = self._send(letter)
        return answer

    def _send(self, letter: Letter) -> Answer:
        try:
            smtp = self._connection()
            answer = self._envelope(smtp, letter)
            if answer is not None:
                return answer
        except smtplib.SMTPResponseException as error:
            self._drop()
            return Answer(Outcome.NOT_SENT, scrub(f"{error.smtp_code} {_words(error.smtp_error)}"))
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Answer(Outcome.NOT_SENT, scrub(f"no connection: {error}"))
        try:
            # The letter's lines end in CRLF and none starts with a dot: nothing is left to be changed on the way.
            smtp.send(letter.data)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            return Answer(Outcome.NOT_SENT, scrub(f"the connection broke: {error}"))
        try:
            smtp.send(b".\r\n")
            code, words = smtp.getreply()
        except (smtplib.SMTPException, OSError):
            self._drop()
            return Answer(Outcome.UNKNOWN, "the connection broke before the answer")
        # Only an answer to the letter tells what became of it; garbage tells nothing.
        return self._judge(code, words, otherwise=Outcome.UNKNOWN)

    def close(self) -> None:
        """QUIT."""
        if self._smtp:
            with suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
            self._smtp = None

    def _envelope(self, smtp: smtplib.SMTP, letter: Letter) -> Answer | None:
        """MAIL, RCPT and DATA; an answer where the server stops before the letter, None where it waits for it."""
        options = []
        if not letter.data.isascii() or not letter.recipient.isascii():
            if not smtp.has_extn("smtputf8"):
                return Answer(Outcome.FAILED, "the server does not take international addresses (SMTPUTF8)")
            options = ["SMTPUTF8", "BODY=8BITMIME"]
        steps: dict[str, Callable[[], tuple[int, bytes]]] = {
            "MAIL": lambda: smtp.mail(letter.sender, options),
            "RCPT": lambda: smtp.rcpt(letter.recipient),
            "DATA": lambda: smtp.docmd("DATA"),
        }
        for verb, step in steps.items():
            code, words = step()
            if code not in _STEPS[verb]:
                # Whatever it was: no letter has been shown, so none can have been taken.
                answer = self._judge(-1 if code < 400 else code, words, otherwise=Outcome.NOT_SENT)  # noqa: PLR2004 - RFC 5321, 4.2.1
                self._forget(smtp)
                return answer
        return None

    def _judge(self, code: int, words: bytes, *, otherwise: Outcome) -> Answer:
        """What an answer means (RFC 5321, 4.2.1); after one that means nothing the connection is of no more use."""
        said = scrub(f"{code} {_words(words)}")
        # RFC 5321, 3.8: the server closes the connection, without the letter.
        if code == 421:  # noqa: PLR2004
            self._drop()
            return Answer(Outcome.NOT_SENT, said)
        outcome = {2: Outcome.ACCEPTED, 4: Outcome.DEFERRED, 5: Outcome.FAILED}.get(code // 100)
        if outcome is None:
            self._drop()
            return Answer(otherwise, scrub(f"the server's answer makes no sense: {_words(words)}"))
        return Answer(outcome, said)

    def _forget(self, smtp: smtplib.SMTP) -> None:
        """RSET, if there still is somebody to say it to: a refusal stands, even when the server then hangs up."""
        if self._smtp:
            try:
                smtp.rset()
            except (smtplib.SMTPException, OSError):
                self._drop()

    def _connection(self) -> smtplib.SMTP:
        if self._smtp is None:
            context = ssl.create_default_context()
            if self._scheme == "smtps":
                smtp: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=SECONDS, context=context)
            else:
                smtp = smtplib.SMTP(self._host, self._port, timeout=SECONDS)
            self._smtp = smtp
            if smtp.sock:
                # A letter's end is written apart from the letter: Nagle's algorithm would keep it back for 40 ms.
                smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            smtp.ehlo_or_helo_if_needed()
            if self._scheme == "smtp+starttls":
                # Raises where the server does not offer it: once TLS was asked for there is no way back to plain.
                smtp.starttls(context=context)
                smtp.ehlo()
            if self._login:
                smtp.login(*self._login)
        return self._smtp

    def _drop(self) -> None:
        if self._smtp:
            self._smtp.close()
            self._smtp = None


@contextmanager
def opened(url: str) -> Iterator[Transport]:
    """The transport of a setting, closed at the end. Raises TransportRefused."""
    kind, _, rest = url.partition(":")
    transport: Transport = OutboxTransport(Path(rest)) if kind == "outbox" else SmtpTransport(url)
    try:
        yield transport
    finally:
        transport.close()


def _words(words: bytes | str) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else words


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
