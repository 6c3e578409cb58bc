"""A mail server that takes everything, pipelined (RFC 2920), and is quicker than its clients: a process apart."""

import os
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

HELLO = b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
END = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Sink:
    """Where it listens."""

    port: int

    @property
    def url(self) -> str:
        """The setting that leads here."""
        return f"smtp://127.0.0.1:{self.port}"

    def taken(self) -> int:
        """How many letters it has taken."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection, connection.makefile("rb") as file:
            file.readline()
            connection.sendall(b"NOOP\r\n")
            return int(file.readline().split()[1])


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Run one in a process of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        child = os.fork()
        if child == 0:
            try:
                _serve(listener)
            finally:
                os._exit(0)
        port = listener.getsockname()[1]
    try:
        yield Sink(port)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


class _Conversation:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = bytearray()
        self.reading = False

    def go_on(self, before: int) -> int | None:
        """Read what there is and answer it at once; returns how many letters were taken, None at the end."""
        more = self.connection.recv(1 << 20)
        if not more:
            return None
        self.buffer += more
        taken, answers = 0, []
        while True:
            if self.reading:
                end = self.buffer.find(END)
                if end < 0:
                    break
                del self.buffer[: end + len(END)]
                self.reading = False
                taken += 1
                answers.append(b"250 ok\r\n")
            end = self.buffer.find(b"\n")
            if end < 0:
                break
            verb = bytes(self.buffer[:4]).upper()
            del self.buffer[: end + 1]
            if verb == b"DATA":
                self.reading = True
                answers.append(b"354 go on\r\n")
            elif verb == b"EHLO":
                answers.append(HELLO)
            elif verb == b"NOOP":
                answers.append(b"250 %d\r\n" % (before + taken))
            else:
                answers.append(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
        if answers:
            self.connection.sendall(b"".join(answers))
        return taken


def _serve(listener: socket.socket) -> None:
    taken = 0
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    connection, _address = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection.sendall(b"220 sink.example ESMTP\r\n")
                    selector.register(connection, selectors.EVENT_READ, _Conversation(connection))
                    continue
                try:
                    done = key.data.go_on(taken)
                except OSError:
                    done = None
                if done is None:
                    selector.unregister(key.fileobj)
                    key.data.connection.close()
                else:
                    taken += done
