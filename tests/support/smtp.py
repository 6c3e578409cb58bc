"""A mail server for tests, which records letters and fails on cue."""

import base64
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Received:
    """What a server took: the envelope and the bytes between DATA and the dot."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass(slots=True)
class MailServer:
    """A small SMTP server (RFC 5321) that does what the next line of its script says.

    `script` is asked before each answer, with the command's first four letters (`EHLO`, `STAR`, `AUTH`, `MAIL`, `RCPT`,
    `DATA`, `QUIT`; `CONNECT` and `DOT` for a connection's and a letter's) and how many letters were taken so far. It
    returns an answer to give instead of the usual one, the word `close` to hang up without a word, or None to go on.
    """

    script: Callable[[str, int], str | None] = lambda _verb, _taken: None
    letters: list[Received] = field(default_factory=list)
    # What came after DATA although all recipients were refused.
    without_recipients: list[bytes] = field(default_factory=list)
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    port: int = 0
    # Whether it allows pipelining (RFC 2920).
    pipelining: bool = True
    # For TLS: on demand (STARTTLS), or from the start.
    context: ssl.SSLContext | None = None
    from_the_start: bool = False
    # The user name and password that it asks for, on encrypted connections only.
    login: tuple[str, str] | None = None

    @property
    def url(self) -> str:
        """The setting for a plain connection to this server."""
        return self.url_as("smtp")

    def url_as(self, scheme: str, login: str = "") -> str:
        """Return the setting for this server with another scheme, and a login such as `name:password@`."""
        return f"{scheme}://{login}127.0.0.1:{self.port}"

    def recipients(self) -> list[str]:
        """Return the recipients of all letters, in order."""
        return [recipient for letter in self.letters for recipient in letter.recipients]


@contextmanager
def mail_server(script: Callable[[str, int], str | None] | None = None) -> Iterator[MailServer]:
    """Run a server on a port of the kernel's choice."""
    server = MailServer()
    if script:
        server.script = script

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            _converse(server, self)

    class Listener(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Listener(("127.0.0.1", 0), Handler) as listener:
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


class _HangUp(Exception):  # noqa: N818 - ends one connection
    pass


def _converse(  # noqa: C901, PLR0912, PLR0915 - a conversation, verb by verb
    server: MailServer, handler: socketserver.StreamRequestHandler
) -> None:
    server.connections += 1
    sender, recipients = "", list[str]()
    encrypted = signed_in = False

    def encrypt() -> None:
        if server.context is None:
            raise _HangUp
        handler.connection = server.context.wrap_socket(handler.connection, server_side=True)
        handler.rfile = handler.connection.makefile("rb")
        # Unbuffered, as before.
        handler.wfile = handler.connection.makefile("wb", 0)

    def say(verb: str, usual: str, taken: Received | None = None) -> bool:
        answer = server.script(verb, len(server.letters))
        if answer == "close":
            # A hard close: the other side sees the connection break, not end.
            handler.connection.shutdown(socket.SHUT_RDWR)
            raise _HangUp
        goes_on = (answer or usual)[:1] in {"2", "3"}
        if taken and goes_on:
            # Before the reply: a test that has read the reply may look here at once.
            server.letters.append(taken)
        handler.wfile.write((answer or usual).encode() + b"\r\n")
        return goes_on

    try:
        if server.from_the_start:
            encrypt()
            encrypted = True
        say("CONNECT", "220 sink.example ESMTP")
        while line := handler.rfile.readline():
            command = line.decode("utf-8", "replace").strip()
            verb = command[:4].upper()
            server.commands.append(command)
            if verb == "EHLO":
                more = "250-PIPELINING\r\n" if server.pipelining else ""
                more += "250-STARTTLS\r\n" if server.context and not encrypted else ""
                more += "250-AUTH PLAIN\r\n" if server.login and encrypted else ""
                say(verb, f"250-sink.example\r\n250-8BITMIME\r\n{more}250 SMTPUTF8")
            elif verb == "STAR":
                if say(verb, "220 go ahead"):
                    encrypt()
                    encrypted = True
            elif verb == "AUTH":
                wanted = "\0".join(("", *(server.login or ("", ""))))
                signed_in = base64.b64decode(command.split(" ")[-1]).decode() == wanted
                say(verb, "235 welcome" if signed_in else "535 5.7.8 wrong name or password")
            elif server.login and not signed_in and verb in {"MAIL", "RCPT", "DATA"}:
                say(verb, "530 5.7.0 sign in first")
            elif verb == "MAIL":
                sender, recipients = _path(command), []
                say(verb, "250 ok")
            elif verb == "RCPT":
                if say(verb, "250 ok"):
                    recipients.append(_path(command))
            elif verb == "DATA":
                if say(verb, "354 go on"):
                    data = _data(handler)
                    # A letter without recipients is the end of a refused one (RFC 2920, 3.1).
                    taken = Received(sender, tuple(recipients), data) if recipients else None
                    if not taken:
                        server.without_recipients.append(data)
                    say("DOT", f"250 ok {len(server.letters) + 1}" if taken else "554 5.5.1 no recipients", taken)
            elif verb == "QUIT":
                say(verb, "221 bye")
                return
            else:
                say(verb, "250 ok")
    except (_HangUp, OSError):
        return
    finally:
        if encrypted:
            handler.connection.close()


def _path(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]


def _data(handler: socketserver.StreamRequestHandler) -> bytes:
    lines = []
    while (line := handler.rfile.readline()) != b".\r\n":
        if not line:
            raise _HangUp
        lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
    return b"".join(lines)
