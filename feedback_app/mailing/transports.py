"""Ways a letter leaves: over SMTP, or into a folder. Each takes one `Letter` at a time, and nothing else."""

import ipaddress
import re
import secrets
import smtplib
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
    """A server's words for the ledger: one line, no address in it."""
    return _ADDRESS.sub("…@…", " ".join(words.split()))[:LONGEST_ANSWER]


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
        """Send one letter: MAIL, one RCPT, DATA."""
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
        return self._judge(code, words)

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
        steps: tuple[Callable[[], tuple[int, bytes]], ...] = (
            lambda: smtp.mail(letter.sender, options),
            lambda: smtp.rcpt(letter.recipient),
            lambda: smtp.docmd("DATA"),
        )
        for step in steps:
            code, words = step()
            if code not in {250, 251, 252, 354}:
                answer = self._judge(code, words)
                if self._smtp:
                    smtp.rset()
                return answer
        return None

    def _judge(self, code: int, words: bytes) -> Answer:
        said = scrub(f"{code} {_words(words)}")
        if code == 421:  # noqa: PLR2004 - RFC 5321, 3.8: the server closes the connection
            self._drop()
            return Answer(Outcome.NOT_SENT, said)
        if 200 <= code < 300:  # noqa: PLR2004 - RFC 5321, 4.2.1
            return Answer(Outcome.ACCEPTED, said)
        if 500 <= code < 600:  # noqa: PLR2004 - RFC 5321, 4.2.1
            return Answer(Outcome.FAILED, said)
        return Answer(Outcome.DEFERRED, said)

    def _connection(self) -> smtplib.SMTP:
        if self._smtp is None:
            context = ssl.create_default_context()
            if self._scheme == "smtps":
                smtp: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=SECONDS, context=context)
            else:
                smtp = smtplib.SMTP(self._host, self._port, timeout=SECONDS)
            self._smtp = smtp
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
