"""Ways a letter leaves: over SMTP, or into a folder. Each takes one `Letter` at a time, and nothing else."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.transports.smtp_pool import SmtpPool


class Transport(Protocol):
    """A way for a letter to leave. Nothing here raises for what a server does."""

    @property
    def width(self) -> int:
        """How many letters a server can read side by side."""
        ...

    def send(self, letter: Letter) -> Answer:
        """Hand one letter to the next server and wait for its answer."""
        ...

    def submit(self, letter: Letter) -> None:
        """Hand one letter to the next server, without waiting for its answer."""
        ...

    def heard(self) -> list[tuple[str, Answer | None]]:
        """What is known of letters, by their identifiers, and was not said before.

        The answer is None for one that did not leave, and could at once. Twice as many as it is wide may still be on
        their way.
        """
        ...

    def answers(self) -> list[tuple[str, Answer | None]]:
        """The same of all letters of which it was not said before. Waits for it."""
        ...

    def rest(self) -> None:
        """Nothing more is to be sent at the moment."""
        ...

    def close(self) -> None:
        """Say goodbye."""
        ...


class OutboxTransport:
    """Writes one `.eml` file a letter, readable by this user only; its name says nothing about the recipient."""

    width = 1

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made when the first letter comes."""
        self.folder = folder
        self._written: list[tuple[str, Answer | None]] = []

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

    def submit(self, letter: Letter) -> None:
        """Write the letter."""
        self._written.append((letter.message_id, self.send(letter)))

    def heard(self) -> list[tuple[str, Answer | None]]:
        """What became of the letters that were submitted."""
        return self.answers()

    def answers(self) -> list[tuple[str, Answer | None]]:
        """What became of the letters that were submitted."""
        written, self._written = self._written, []
        return written

    def rest(self) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def opened(url: str, connections: int = 1) -> Iterator[Transport]:
    """The transport of a setting, over at most so many connections, closed at the end. Raises TransportRefused."""
    kind, _, rest = url.partition(":")
    transport: Transport = OutboxTransport(Path(rest)) if kind == "outbox" else SmtpPool(url, connections)
    try:
        yield transport
    finally:
        transport.close()
