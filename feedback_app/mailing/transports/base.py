"""Base class of all transports."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from feedback_app.mailing.transports.results import Answer

if TYPE_CHECKING:
    # Every command checks its settings with the registry, and most commands have nothing to do with letters.
    from feedback_app.mailing.gate.letter import Letter


class Transport(ABC):
    """A way for letters to leave, one recipient at a time.

    A transport has to implement `__init__(url, connections)`, `send` and `close`. None of the methods raises because of
    what a server does: that is an `Answer`. The worker uses `submit`, `answers_so_far` and `all_answers`, so that a
    transport may keep several letters on their way; the versions here send one letter after the other.
    """

    # The folder on this machine in which the letters stay; None if they are sent.
    folder: Path | None = None
    # Whether the owner has allowed letters to cross the network unencrypted.
    allows_unencrypted: bool = False
    # How many letters it sends at the same time: the worker makes so many before it submits them.
    parallel_letters: int = 1
    # How many letters may still be without an answer after `answers_so_far`.
    most_unanswered: int = 0

    def __init__(self, url: str, connections: int = 1) -> None:
        """Take the URL, and how many connections there may be at most. Raises TransportRefused; connects to nothing."""
        self.url = url
        self.most_connections = connections
        self._answered: list[tuple[str, Answer | None]] = []

    @classmethod
    def accepts(cls, url: str) -> bool:
        """Return whether a URL with this transport's scheme is well-formed. Settings are checked with it."""
        return bool(url)

    @abstractmethod
    def send(self, letter: "Letter") -> Answer:
        """Send one letter and wait for its answer."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def submit(self, letter: "Letter") -> None:
        """Send one letter; it need not wait for the answer."""
        self._answered.append((letter.message_id, self.send(letter)))

    def answers_so_far(self) -> list[tuple[str, Answer | None]]:
        """Return the new answers to submitted letters, by Message-ID.

        The answer is None for a letter that has not left and could be sent again at once.
        """
        answered, self._answered = self._answered, []
        return answered

    def all_answers(self) -> list[tuple[str, Answer | None]]:
        """Wait until every submitted letter is answered; return the new answers, as `answers_so_far` does."""
        return self.answers_so_far()

    def rest(self) -> None:  # noqa: B027 - a transport need not have it
        """Close what only many letters need: there is nothing to send at the moment."""
