"""Several connections to one mail server, side by side: while it reads the letters of some, others are written.

One connection waits for the server once a letter, however near it is. A small mailing is done before another connection
would be of any use, so each is opened when there was work for it, and closed when there is none.
"""

import time

from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.transports.smtp import SmtpTransport

# So many letters in a row are work for one connection.
WORK_FOR_ONE = 50
# How long an answer may take while a connection is opened that could as well be left out, in seconds.
SHORT = 5
# How long a server that did not want another connection is not asked again, in seconds.
PEACE = 600


class SmtpPool:
    """SMTP connections that take letters in turn; one at first, at most so many as they may be.

    A server that does not let another one in, or puts one out, is left at those that it has.
    """

    def __init__(self, url: str, most: int) -> None:
        """Take the server's URL. Raises TransportRefused where letters would cross a network unencrypted."""
        self._url = url
        self._most = most
        self._lanes = [SmtpTransport(url)]
        # How many letters there were in this run.
        self._count = 0
        self._peace_until = 0.0

    @property
    def width(self) -> int:
        """How many letters a server can read side by side."""
        return len(self._lanes)

    def send(self, letter: Letter) -> Answer:
        """Send one letter and wait for its answer. Nothing else may be on its way."""
        return self._lanes[0].send(letter)

    def submit(self, letter: Letter) -> None:
        """Send one letter. Waits for the one before it on its connection."""
        self._lanes[self._count % len(self._lanes)].submit(letter)
        self._count += 1
        if self._count >= WORK_FOR_ONE * len(self._lanes) and len(self._lanes) < self._most:
            self._widen()

    def heard(self) -> list[tuple[str, Answer | None]]:
        """What is known of letters, by their identifiers, and was not said before.

        At most two a connection are still on their way.
        """
        said = {lane: lane.heard() for lane in self._lanes}
        shut = [lane for lane, found in said.items() if _not_sent(found)]
        if not shut or not any(found and lane not in shut for lane, found in said.items()):
            return [pair for found in said.values() for pair in found]
        # The server put some out and takes letters of others: what these did not send could go over those.
        for lane in shut:
            lane.finish()
            said[lane] += lane.heard()
        self._keep([lane for lane in self._lanes if lane not in shut])
        self._peace_until = time.monotonic() + PEACE
        return [
            (identifier, None if answer.outcome is Outcome.NOT_SENT else answer)
            for found in said.values()
            for identifier, answer in found
        ]

    def answers(self) -> list[tuple[str, Answer | None]]:
        """What became of all letters of which it was not said before."""
        for lane in self._lanes:
            lane.finish()
        return self.heard()

    def rest(self) -> None:
        """Close what only many letters need."""
        self._keep(self._lanes[:1])
        self._count = 0

    def close(self) -> None:
        """Say goodbye."""
        for lane in self._lanes:
            lane.close()

    def _widen(self) -> None:
        if not self._lanes[0].is_open or time.monotonic() < self._peace_until:
            return
        lane = SmtpTransport(self._url)
        if lane.ready(SHORT):
            self._lanes.append(lane)
        else:
            self._peace_until = time.monotonic() + PEACE

    def _keep(self, lanes: list[SmtpTransport]) -> None:
        for lane in self._lanes:
            if lane not in lanes:
                lane.close()
        self._lanes = lanes


def _not_sent(said: list[tuple[str, Answer]]) -> bool:
    return any(answer.outcome is Outcome.NOT_SENT for _, answer in said)
