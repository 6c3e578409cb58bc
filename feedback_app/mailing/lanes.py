"""Several connections to one mail server, side by side: while it reads the letters of some, others are written.

One connection waits for the server once a letter, however near it is. A small mailing is done before another connection
would be of any use, so each is opened when there was work for it, and closed when there is none.
"""

from collections.abc import Callable

from feedback_app.mailing.letter import Letter
from feedback_app.mailing.outcomes import Answer, Outcome
from feedback_app.mailing.smtp import SmtpTransport

# So many letters in a row are work for one connection.
WORK_FOR_ONE = 50
# How long an answer may take while a connection is opened that could as well be left out, in seconds.
SHORT = 5


class Lanes:
    """SMTP connections that take letters in turn; one at first, at most so many as they may be.

    A server that does not let another one in, or puts it out, gets its letters over the first.
    """

    def __init__(self, url: str, most: int) -> None:
        """Take the server's URL. Raises TransportRefused where letters would cross a network unencrypted."""
        self._url = url
        self._most = most
        self._first = SmtpTransport(url)
        self._lanes = [self._first]
        # How many letters there were in this run.
        self._count = 0

    @property
    def width(self) -> int:
        """How many letters can be on their way side by side."""
        return len(self._lanes)

    def send(self, letter: Letter) -> Answer:
        """Send one letter and wait for its answer. Nothing else may be on its way."""
        return self._first.send(letter)

    def submit(self, letter: Letter) -> None:
        """Send one letter. Waits for the one before it on its connection."""
        if self._count >= WORK_FOR_ONE * len(self._lanes) and len(self._lanes) < self._most:
            self._widen()
        self._lanes[self._count % len(self._lanes)].submit(letter)
        self._count += 1

    def heard(self) -> list[tuple[Letter, Answer]]:
        """What is known of letters and was not said before. At most one a connection is still on its way."""
        return self._gathered(SmtpTransport.heard)

    def answers(self) -> list[tuple[Letter, Answer]]:
        """What became of all letters of which it was not said before."""
        found = self._gathered(SmtpTransport.answers)
        return found + self._first.answers()

    def rest(self) -> None:
        """Close what only many letters need."""
        self._keep(self._lanes[:1])
        self._count = 0

    def close(self) -> None:
        """Say goodbye."""
        for lane in self._lanes:
            lane.close()

    def _widen(self) -> None:
        lane = SmtpTransport(self._url)
        if lane.ready(SHORT):
            self._lanes.append(lane)
        else:
            self._most = len(self._lanes)

    def _keep(self, lanes: list[SmtpTransport]) -> None:
        for lane in self._lanes:
            if lane not in lanes:
                lane.close()
        self._lanes = lanes

    def _gathered(self, ask: Callable[[SmtpTransport], list[tuple[Letter, Answer]]]) -> list[tuple[Letter, Answer]]:
        said = {lane: ask(lane) for lane in self._lanes}
        if not _not_sent(said[self._first]):
            # Where the first one works, the others' letters go over it; and it is left at those that do.
            good = [lane for lane in self._lanes if not _not_sent(said[lane])]
            for lane in (one for one in self._lanes if one not in good):
                said[lane] += lane.answers()
                for pair in _not_sent(said[lane]):
                    said[lane].remove(pair)
                    self._first.submit(pair[0])
            self._most = len(good) if len(good) < len(self._lanes) else self._most
            self._keep(good)
        return [pair for found in said.values() for pair in found]


def _not_sent(said: list[tuple[Letter, Answer]]) -> list[tuple[Letter, Answer]]:
    return [pair for pair in said if pair[1].outcome is Outcome.NOT_SENT]
