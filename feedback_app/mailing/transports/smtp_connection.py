"""A connection to a mail server: opened, encrypted and signed in by smtplib, then read and written here.

smtplib waits for the answer to every command; a pipelined dialogue (RFC 2920) does not.
"""

import re
import smtplib
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from feedback_app.config import UNENCRYPTED

# How long an answer may take.
SECONDS = 30
MOST_BYTES, READ_BYTES = 65536, 4096
# A TLS record: what is written at once to an encrypted connection, so that it is known what may have left.
RECORD = 16384
# RFC 5321, 4.2: three digits, and a hyphen where more lines follow.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
SENSELESS = -1
# Not everywhere.
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


@lru_cache(maxsize=64)
def _read(line: bytes) -> tuple[int, bytes, bool]:
    """A line's code and words, and whether more follow. Servers say the same of one letter after the other."""
    match = _LINE.fullmatch(line.rstrip(b"\r"))
    return (int(match[1]), match[3] or b"", match[2] == b"-") if match else (SENSELESS, b"", False)


class Broken(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The connection broke; of what was being written, `left` bytes may have left, at most."""

    def __init__(self, reason: str, left: int = 0) -> None:
        """Say why, and how much may be on its way."""
        super().__init__(reason)
        self.left = left


@dataclass(frozen=True, slots=True)
class Server:
    """Where a connection goes to, as the setting says it."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None
    # Whether the owner has said that letters may cross a network in the open.
    unencrypted: bool = False

    @classmethod
    def of(cls, url: str) -> "Server":
        """The server of `smtp://`, `smtp+starttls://` or `smtps://`."""
        parts = urlsplit(url)
        port = parts.port or {"smtps": 465, "smtp+starttls": 587}.get(parts.scheme, 25)
        login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return cls(parts.scheme, parts.hostname or "", port, login, parts.query == UNENCRYPTED)


class SmtpConnection:
    """A dialogue that is past its greetings."""

    def __init__(self, sock: socket.socket, extensions: Collection[str]) -> None:
        """Take a socket over, and what the server said that it can do."""
        self.pipelining = "pipelining" in extensions
        self.international = "smtputf8" in extensions
        self._sock = sock
        self._encrypted = isinstance(sock, ssl.SSLSocket)
        # What was read and not yet asked for: whole lines, and how the next one begins.
        self._lines = deque[bytes]()
        self._rest = b""
        # Whether something was heard since something was last said.
        self._heard = False
        if self._encrypted:
            sock.settimeout(SECONDS)
        else:
            # The kernel's own timeouts: Python's would ask the kernel once more before every read and write. Python's
            # TLS does not heed them: it would try again for ever.
            seconds = struct.pack("@ll", int(SECONDS), int(SECONDS % 1 * 1_000_000))
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            # Nagle's algorithm would keep a group of commands back until the group before it was acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises Broken, with how much may have left."""
        self._heard = False
        left = 0
        view = memoryview(data)
        while left < len(data):
            # Of an encrypted record that could not be written whole, nobody knows how much left.
            piece = view[left : left + RECORD] if self._encrypted else view[left:]
            try:
                left += self._sock.send(piece)
            except OSError as error:
                raise Broken(_said(error), left + (len(piece) if self._encrypted else 0)) from error

    def reply(self) -> tuple[int, bytes]:
        """The next answer: its code and words, or SENSELESS and what came instead. Raises Broken."""
        if self._lines:
            # Mostly it was read with the one before it, and is one line.
            code, words, more = _read(self._lines[0])
            if not more and code != SENSELESS:
                self._lines.popleft()
                return code, words
        said: list[bytes] = []
        deadline = 0.0
        while True:
            while not self._lines:
                if len(self._rest) > MOST_BYTES:
                    return SENSELESS, self._rest[:100]
                deadline = deadline or time.monotonic() + SECONDS
                if time.monotonic() > deadline:
                    message = "timed out"
                    raise Broken(message)
                self._fill()
            line = self._lines.popleft()
            code, words, more = _read(line)
            if code == SENSELESS or len(said) > 100:  # noqa: PLR2004 - no server has so much to say
                return SENSELESS, line[:100]
            if not more:
                return code, b" ".join([*said, words]) if said else words
            said.append(words)

    def quit(self) -> None:
        """Say goodbye, if anybody still listens."""
        with suppress(Broken):
            self.write(b"QUIT\r\n")
            self.reply()
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._sock.close()

    def _fill(self) -> None:
        if self._heard and QUICKACK is not None:
            # The server answers in pieces, and keeps the next one back until it knows that this one has come.
            with suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        self._heard = True
        try:
            more = self._sock.recv(READ_BYTES)
        except OSError as error:
            raise Broken(_said(error)) from error
        if not more:
            message = "Connection unexpectedly closed"
            raise Broken(message)
        *lines, self._rest = (self._rest + more).split(b"\n")
        self._lines += lines


def connect(server: Server, seconds: int = SECONDS) -> SmtpConnection:
    """Open a connection (RFC 5321, 3.1), encrypt it where that was asked for (RFC 3207), sign in (RFC 4954).

    No answer on the way there may take longer than so many seconds. Certificates are checked, and there is no way back
    to plain once TLS was asked for. Raises smtplib's errors and OSError.
    """
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=seconds, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=seconds)
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.scheme == "smtp+starttls":
            # Raises where the server does not offer it. What it said before is forgotten: it was not protected.
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
        if server.login:
            smtp.login(*server.login)
        return _taken_over(smtp)
    except BaseException:
        smtp.close()
        raise


def _taken_over(smtp: smtplib.SMTP) -> SmtpConnection:
    """The connection of a client that has done its part; it must hold nothing back."""
    sock, file = smtp.sock, smtp.file
    if sock is None:
        message = "please run connect() first"
        raise smtplib.SMTPServerDisconnected(message)
    sock.settimeout(0)
    early = b""
    if file is not None:
        with suppress(OSError):
            early = file.peek(1)
    if early:
        # An answer to nothing would be taken for the answer to the first command.
        message = "the server said more than it was asked"
        raise smtplib.SMTPException(message)
    if file is not None:
        file.close()
    smtp.sock, smtp.file = None, None
    return SmtpConnection(sock, smtp.esmtp_features)


def _said(error: OSError) -> str:
    # A timeout of the kernel's looks like this: nothing to read, or no room to write.
    return (
        "timed out" if isinstance(error, BlockingIOError | ssl.SSLWantReadError | ssl.SSLWantWriteError) else str(error)
    )
