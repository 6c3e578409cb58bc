"""Workers that can be killed, and a mail server that keeps a record: each a process, forked from a warm one."""

import multiprocessing
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol, cast

from feedback_app import clock
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.mailing.delivery import batches
from feedback_app.mailing.delivery.worker import mail_worker, run_until
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.transports import smtp_pool
from feedback_app.security import keys

SECONDS = 60
# Where the server can stop: before it answers a command; in the middle of a letter; at its end, before and after it was
# recorded; and after the answer.
STEPS = ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "MIDDLE", "END", "TAKEN", "ANSWERED")
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(slots=True)
class _Stops:
    """The step at which the server stops, and after how many more letters."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    step: str = ""
    letters: int = 0


@dataclass(slots=True)
class Sink:
    """A mail server in a process of its own. A letter is recorded on the disk before it is accepted."""

    port: int
    record: Path
    control: Connection

    def taken(self) -> Counter[str]:
        """Return how many letters each address got."""
        return Counter(self.record.read_text(encoding="ascii").split())

    def stop_at(self, step: str, letters: int) -> None:
        """Let the server stop at a step, after so many letters."""
        self.control.send((step, letters))
        self.hear("ready")

    def hear(self, word: str, seconds: float = SECONDS) -> None:
        """Wait for a report of the server: `ready`, `took` or `stopped`."""
        while self.control.poll(seconds):
            if self.control.recv() == word:
                return
        message = f"the mail server did not say {word!r}"
        raise TimeoutError(message)

    def forget(self) -> None:
        """Discard the reports so far."""
        while self.control.poll():
            self.control.recv()


@contextmanager
def durable_sink(folder: Path) -> Iterator[Sink]:
    """Run a mail server that keeps a record of its letters."""
    record = folder / "taken.txt"
    record.touch()
    here, there = _processes.Pipe()
    process = _processes.Process(target=_serve, args=(record, there), daemon=True)
    process.start()
    there.close()
    try:
        yield Sink(here.recv(), record, here)
    finally:
        process.kill()
        process.join()


class Ahead(Protocol):
    """How many seconds a worker's clock is ahead of the real one; it can be changed while the worker runs."""

    value: float


def fast_clock(seconds: float) -> Ahead:
    """Return a clock's lead, shared between processes."""
    return cast("Ahead", _processes.Value("d", seconds))


@contextmanager
def worker_process(environment: dict[str, str], ahead: Ahead, *, through: bool = False) -> Iterator[ForkServerProcess]:
    """Run a worker whose clock is so many seconds ahead; kill it at the end, if it still runs."""
    process = _processes.Process(target=_work, args=(environment, ahead, through), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _work(environment: dict[str, str], ahead: Ahead, through: bool) -> None:  # noqa: FBT001 - passed on to a process
    clock.now = lambda: datetime.now(UTC) + timedelta(seconds=ahead.value)
    # Several connections from the second letter on, and letters in flight while the next are claimed. Opening a
    # connection may take as long as anything else: the server stops until the worker is killed.
    smtp_pool.LETTERS_PER_CONNECTION, smtp_pool.OPEN_TIMEOUT, batches.SMALL_SHARE = 1, SECONDS, 1
    settings = load_settings(environment)
    store = open_store(settings)
    stop = threading.Event()
    with mail_worker(store, settings, LetterContext.of(settings, keys.signer(settings))) as worker:
        if through:
            worker.work_through(stop, tell=lambda _: None)
        else:
            run_until(worker, stop)
    store.close()


def _serve(record: Path, control: Connection) -> None:
    stops, speaking = _Stops(), threading.Lock()
    file = os.open(record, os.O_WRONLY | os.O_APPEND)

    def say(word: object) -> None:
        with speaking:
            control.send(word)

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            _Conversation(connection, stops, file, say).hold()

    def listen(server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        say(server.getsockname()[1])
        threading.Thread(target=listen, args=(server,), daemon=True).start()
        with suppress(EOFError):
            while True:
                step, letters = control.recv()
                with stops.lock:
                    stops.step, stops.letters = step, letters
                say("ready")


class _Stopped(OSError):  # noqa: N818 - ends one conversation
    pass


class _Conversation:
    """One connection to the server."""

    def __init__(self, connection: socket.socket, stops: _Stops, record: int, say: Callable[[object], None]) -> None:
        self._connection = connection
        self._stops = stops
        self._record = record
        self._say = say
        self._rest = b""

    def hold(self) -> None:
        recipient = ""
        self._answer("CONNECT", "220 sink.example")
        while line := self._line():
            verb = line[:4].decode().upper()
            match verb:
                case "EHLO":
                    self._answer(verb, "250-sink.example\r\n250-PIPELINING\r\n250 SMTPUTF8")
                case "RCPT":
                    recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                    self._answer(verb, "250 ok")
                case "DATA":
                    self._answer(verb, "354 go on")
                    self._letter(recipient)
                case "QUIT":
                    self._connection.sendall(b"221 bye\r\n")
                    return
                case _:
                    self._answer(verb, "250 ok")

    def _letter(self, recipient: str) -> None:
        for number in range(1 << 20):
            line = self._line()
            if line == b".":
                break
            if number == 5:
                self._pass("MIDDLE")
        self._pass("END")
        with self._stops.lock:
            os.write(self._record, recipient.encode() + b"\n")
            os.fsync(self._record)
            self._stops.letters -= 1
            new = self._stops.step in {"CONNECT", "EHLO"} and self._stops.letters <= 0
        self._say("took")
        self._answer("TAKEN", "250 ok")
        if new:
            # Hang up, so that the worker opens another connection, at which the server stops.
            raise _Stopped
        self._pass("ANSWERED")

    def _answer(self, verb: str, words: str) -> None:
        self._pass(verb)
        self._connection.sendall(words.encode() + b"\r\n")

    def _pass(self, step: str) -> None:
        """Stop here, if that was asked for: answer nothing more until the client is gone."""
        with self._stops.lock:
            stops = self._stops.step == step and self._stops.letters <= 0
            if stops:
                self._stops.step = ""
        if stops:
            self._say("stopped")
            while self._connection.recv(65536):
                pass
            raise _Stopped

    def _line(self) -> bytes:
        while b"\r\n" not in self._rest:
            more = self._connection.recv(65536)
            if not more:
                raise _Stopped
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line
