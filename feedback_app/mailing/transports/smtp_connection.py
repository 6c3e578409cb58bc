"""Connections to a mail server: smtplib opens, encrypts and signs in; after that they are read and written here.

smtplib waits for the reply to every command; pipelining (RFC 2920) does not.
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
from urllib.parse import unquote

from feedback_app.config import url_parts

# How long a reply may take, in seconds.
REPLY_TIMEOUT = 30
MOST_BYTES, READ_BYTES = 65536, 4096
MOST_LINES = 100
# The size of a TLS record. No more is written at once to an encrypted connection, so that it is known how much may
# have left.
RECORD = 16384
DEFAULT_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
# In smtp://host:port?unencrypted the owner confirms that nobody else is on the network to the server.
UNENCRYPTED = "unencrypted"
# RFC 5321, 4.2: three digits, and a hyphen if more lines follow.
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
# Stands for the code of a line that is no reply.
SENSELESS = -1
# Linux has it, other systems don't.
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


# Servers say the same about one letter after the other.
@lru_cache(maxsize=64)
def _parse_line(line: bytes) -> tuple[int, bytes, bool]:
    """Return a reply line's code and words, and whether more lines follow."""
    match = _LINE.fullmatch(line.rstrip(b"\r"))
    return (int(match[1]), match[3] or b"", match[2] == b"-") if match else (SENSELESS, b"", False)


class ConnectionBroken(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The connection broke; at most `left` bytes of what was being written may have left."""

    def __init__(self, reason: str, left: int = 0) -> None:
        """Take the reason and the number of bytes."""
        super().__init__(reason)
        self.left = left


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A mail server as the setting names it."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None
    allows_unencrypted: bool = False

    @classmethod
    def of(cls, url: str) -> "SmtpServer":
        """Return the server of an `smtp://`, `smtp+starttls://` or `smtps://` URL. Raises ValueError.

        The error does not quote the URL: it may hold a password.
        """
        parts = url_parts(url)
        message = "not the URL of a mail server"
        if parts is None or parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise ValueError(message)
        if (parts.scheme == "smtp" and not parts.port) or parts.path.strip("/") or parts.fragment:
            raise ValueError(message)
        # A letter may cross a network unencrypted if the owner says so; a password may not.
        if parts.query and (parts.scheme, parts.query, parts.username) != ("smtp", UNENCRYPTED, None):
            raise ValueError(message)
        login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.scheme, parts.hostname, port, login, bool(parts.query))


class SmtpConnection:
    """An open connection on which the server has been greeted; reads replies and writes bytes."""

    def __init__(self, sock: socket.socket, extensions: Collection[str]) -> None:
        """Take over a socket, and the extensions that the server offers."""
        self.pipelining = "pipelining" in extensions
        self.international = "smtputf8" in extensions
        self._sock = sock
        self._encrypted = isinstance(sock, ssl.SSLSocket)
        # What was read and not yet asked for: whole lines, and the beginning of the next one.
        self._lines = deque[bytes]()
        self._rest = b""
        # Whether anything was received since the last write.
        self._received = False
        if self._encrypted:
            sock.settimeout(REPLY_TIMEOUT)
        else:
            # The kernel's timeouts: with Python's, each read and write would cost another call of the kernel. Python's
            # TLS ignores the kernel's and would try again for ever.
            seconds = struct.pack("@ll", int(REPLY_TIMEOUT), int(REPLY_TIMEOUT % 1 * 1_000_000))
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
        if sock.family in {socket.AF_INET, socket.AF_INET6}:
            # Nagle's algorithm would hold a group of commands back until the group before it is acknowledged.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        """Write all of the data. Raises ConnectionBroken with how much of it may have left."""
        self._received = False
        left = 0
        view = memoryview(data)
        while left < len(data):
            # If an encrypted record could not be written whole, it is not known how much of it left.
            piece = view[left : left + RECORD] if self._encrypted else view[left:]
            try:
                left += self._sock.send(piece)
            except OSError as error:
                raise ConnectionBroken(_reason(error), left + (len(piece) if self._encrypted else 0)) from error

    def reply(self) -> tuple[int, bytes]:
        """Return the next reply: its code and words, or SENSELESS and what came instead. Raises ConnectionBroken."""
        collected: list[bytes] = []
        deadline = 0.0
        while True:
            while not self._lines:
                if len(self._rest) > MOST_BYTES:
                    return SENSELESS, self._rest[:100]
                deadline = deadline or time.monotonic() + REPLY_TIMEOUT
                if time.monotonic() > deadline:
                    message = "timed out"
                    raise ConnectionBroken(message)
                self._fill()
            line = self._lines.popleft()
            code, words, more = _parse_line(line)
            if code == SENSELESS or len(collected) > MOST_LINES:
                return SENSELESS, line[:100]
            collected.append(words)
            if not more:
                return code, b" ".join(collected)

    def quit(self) -> None:
        """Send QUIT, if the server still listens, and close."""
        with suppress(ConnectionBroken):
            self.write(b"QUIT\r\n")
            self.reply()
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _fill(self) -> None:
        if self._received and QUICKACK is not None:
            # The server sends its replies in pieces and holds the next one back until this one is acknowledged.
            with suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
        self._received = True
        try:
            more = self._sock.recv(READ_BYTES)
        except OSError as error:
            raise ConnectionBroken(_reason(error)) from error
        if not more:
            message = "Connection unexpectedly closed"
            raise ConnectionBroken(message)
        *lines, self._rest = (self._rest + more).split(b"\n")
        self._lines += lines


def connect(server: SmtpServer, timeout: float = REPLY_TIMEOUT) -> SmtpConnection:
    """Open a connection (RFC 5321, 3.1), encrypt it if the URL says so (RFC 3207), and sign in (RFC 4954).

    `timeout` is for each reply, in seconds. Certificates are checked, and a connection that should be encrypted is
    never used unencrypted. Raises smtplib's errors and OSError.
    """
    if server.scheme == "smtps":
        context = ssl.create_default_context()
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=timeout)
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.scheme == "smtp+starttls":
            # Raises if the server does not offer it. What the server said before is dropped: it was not protected.
            smtp.starttls(context=ssl.create_default_context())
            smtp.ehlo()
        if server.login:
            smtp.login(*server.login)
        return _take_over(smtp)
    except BaseException:
        smtp.close()
        raise


def _take_over(smtp: smtplib.SMTP) -> SmtpConnection:
    """Take the socket from a client of smtplib, which must not hold back anything that it has read."""
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
        # A reply to no command would be taken for the reply to the first one.
        message = "the server said more than it was asked"
        raise smtplib.SMTPException(message)
    if file is not None:
        file.close()
    smtp.sock, smtp.file = None, None
    return SmtpConnection(sock, smtp.esmtp_features)


def _reason(error: OSError) -> str:
    # This is how a timeout of the kernel looks: nothing to read, or no room to write.
    return (
        "timed out" if isinstance(error, BlockingIOError | ssl.SSLWantReadError | ssl.SSLWantWriteError) else str(error)
    )
