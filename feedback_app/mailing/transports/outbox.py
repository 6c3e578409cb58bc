"""Outbox transport: letters become files in a folder, for trying a shop out."""

import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.results import Answer, Outcome

if TYPE_CHECKING:
    from feedback_app.mailing.gate.letter import Letter


class OutboxTransport(Transport):
    """Writes one `.eml` file per letter, readable by this user only; the file's name says nothing about the recipient.

    The URL is `outbox:FOLDER`. The folder is made for the first letter.
    """

    folder: Path

    def __init__(self, url: str, connections: int = 1) -> None:
        """Take the folder from the URL."""
        super().__init__(url, connections)
        self.folder = Path(url.partition(":")[2])

    @classmethod
    def accepts(cls, url: str) -> bool:
        """Return whether the URL names a folder."""
        return bool(url.partition(":")[2])

    def send(self, letter: "Letter") -> Answer:
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
        """Do nothing: no file stays open."""
