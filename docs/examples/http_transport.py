"""Example of a transport: letters go to a mail provider's HTTP interface, one request per letter.

The provider is made up, as is its URL: `example+https://KEY@api.example.com/messages`. To use a transport like this
one, put it into `feedback_app/mailing/transports` and add its scheme to `registry.py`.
"""

import base64
import http.client
import json
from urllib.parse import urlsplit

from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.transports.scrub import scrub

TIMEOUT_SECONDS = 30
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500


class HttpTransport(Transport):
    """Sends each letter in a POST request of its own: it has one recipient, as on every way out of this shop."""

    def __init__(self, url: str, connections: int = 1) -> None:
        """Take the URL; `example+http` is for tests on this machine."""
        super().__init__(url, connections)
        parts = urlsplit(url)
        secure = parts.scheme.endswith("+https")
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._connection = connect(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        self._path = parts.path or "/"
        self._headers = {"Authorization": f"Bearer {parts.username}", "Content-Type": "application/json"}

    @classmethod
    def accepts(cls, url: str) -> bool:
        """Return whether the URL has a host and a key."""
        parts = urlsplit(url)
        return bool(parts.hostname and parts.username)

    def send(self, letter: Letter) -> Answer:
        """Send the letter's bytes as they are: the gate has checked these and no others."""
        content = base64.b64encode(letter.data).decode()
        body = json.dumps({"from": letter.sender, "to": [letter.recipient], "raw": content})
        try:
            self._connection.connect()
        except OSError as error:
            return Answer(Outcome.NOT_SENT, scrub(f"no connection: {error}"))
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            words = scrub(f"{response.status} {response.read().decode('utf-8', 'replace')}")
        except (OSError, http.client.HTTPException) as error:
            # The request may have arrived: such a letter is never sent again by itself.
            return Answer(Outcome.UNKNOWN, scrub(f"the connection broke before the answer: {error}"))
        finally:
            self._connection.close()
        if response.status // 100 == 2:  # noqa: PLR2004 - RFC 9110, 15.3
            return Answer(Outcome.ACCEPTED, words)
        later = response.status == TOO_MANY_REQUESTS or response.status >= SERVER_ERRORS
        return Answer(Outcome.DEFERRED if later else Outcome.FAILED, words)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
