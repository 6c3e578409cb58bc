"""SMTP transport: a pool of connections to one mail server.

A connection waits for the server once per letter, however near the server is. With several connections some letters
are written while the server reads others. A small mailing is done before a second connection would help, so each one
is opened when there is work for it, and closed when there is none.
"""

import time

from feedback_app.config import is_loopback
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.results import Answer, Outcome, TransportRefused
from feedback_app.mailing.transports.smtp_connection import UNENCRYPTED, SmtpServer
from feedback_app.mailing.transports.smtp_sender import SmtpSender

# So many letters in a row are work for one connection.
LETTERS_PER_CONNECTION = 50
# The reply timeout while an additional connection is opened, in seconds: letters can do without it.
OPEN_TIMEOUT = 5
# How long a server that refused an additional connection is not asked for another, in seconds.
RETRY_CONNECTION_AFTER = 600


class SmtpPool(Transport):
    """Connections that take letters in turn: one at first, and at most `most_connections`.

    When a server refuses or closes an additional connection, the pool goes on with those that it has.
    """

    def __init__(self, url: str, connections: int = 1) -> None:
        """Take the server's URL. Raises TransportRefused if letters would cross a network unencrypted."""
        super().__init__(url, connections)
        self._server = SmtpServer.of(url)
        self.allows_unencrypted = self._server.allows_unencrypted
        if self._server.scheme == "smtp" and not is_loopback(self._server.host) and not self.allows_unencrypted:
            message = (
                "smtp:// to another machine would show every letter to the network: use smtp+starttls:// or smtps:// "
                f"(or, where nobody else is on that network, smtp://host:port?{UNENCRYPTED})"
            )
            raise TransportRefused(message)
        self._connections = [SmtpSender(self._server)]
        # How many letters were submitted since the last rest.
        self._count = 0
        self._no_more_until = 0.0

    @classmethod
    def accepts(cls, url: str) -> bool:
        """Return whether the URL is a mail server's."""
        try:
            SmtpServer.of(url)
        except ValueError:
            return False
        return True

    @property
    def parallel_letters(self) -> int:  # type: ignore[override]  # it grows with the connections
        """How many letters the server can read at the same time."""
        return len(self._connections)

    @property
    def most_unanswered(self) -> int:  # type: ignore[override]  # the same
        """Two letters per connection: one is written, and the envelope of the next has gone with it."""
        return 2 * len(self._connections)

    def send(self, letter: Letter) -> Answer:
        """Send one letter and wait for its answer. No other letter may be without one."""
        self._connections[0].submit(letter)
        self._connections[0].finish()
        [(_, answer)] = self._connections[0].answers_so_far()
        return answer

    def submit(self, letter: Letter) -> None:
        """Send one letter. Waits for the letter before it on its connection."""
        self._connections[self._count % len(self._connections)].submit(letter)
        self._count += 1
        enough = self._count >= LETTERS_PER_CONNECTION * len(self._connections)
        if enough and len(self._connections) < self.most_connections:
            self._add_connection()

    def answers_so_far(self) -> list[tuple[str, Answer | None]]:
        """Return the new answers to submitted letters, by Message-ID; None for letters that can go at once."""
        answers = {connection: connection.answers_so_far() for connection in self._connections}
        closed = [connection for connection, found in answers.items() if _has_unsent(found)]
        if not closed or not any(found and connection not in closed for connection, found in answers.items()):
            return [pair for found in answers.values() for pair in found]
        # The server closed some connections and takes letters on others: what the closed ones did not send can go
        # over those.
        for connection in closed:
            connection.finish()
            answers[connection] += connection.answers_so_far()
        self._keep([connection for connection in self._connections if connection not in closed])
        self._no_more_until = time.monotonic() + RETRY_CONNECTION_AFTER
        return [
            (message_id, None if answer.outcome is Outcome.NOT_SENT else answer)
            for found in answers.values()
            for message_id, answer in found
        ]

    def all_answers(self) -> list[tuple[str, Answer | None]]:
        """Wait until every submitted letter is answered; return the new answers."""
        for connection in self._connections:
            connection.finish()
        return self.answers_so_far()

    def rest(self) -> None:
        """Close all connections but the first."""
        self._keep(self._connections[:1])
        self._count = 0

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections:
            connection.close()

    def _add_connection(self) -> None:
        if not self._connections[0].is_open or time.monotonic() < self._no_more_until:
            return
        connection = SmtpSender(self._server)
        if connection.open(OPEN_TIMEOUT):
            self._connections.append(connection)
        else:
            self._no_more_until = time.monotonic() + RETRY_CONNECTION_AFTER

    def _keep(self, connections: list[SmtpSender]) -> None:
        for connection in self._connections:
            if connection not in connections:
                connection.close()
        self._connections = connections


def _has_unsent(answers: list[tuple[str, Answer]]) -> bool:
    return any(answer.outcome is Outcome.NOT_SENT for _, answer in answers)
