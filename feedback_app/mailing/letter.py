"""A letter: one message to one customer, checked when it is made, unchangeable after."""

from collections.abc import Collection
from dataclasses import InitVar, dataclass

from feedback_app.mailing import gate


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """One message with one reader. There is no way to make one whose bytes do not pass the gate.

    `sender` is where it comes back to; `author` the shop's From, where that is another. `own` are the shop's
    addresses, which a letter may show. It has no repr: in a log that would be an address. Raises GateRefused.
    """

    sender: str
    recipient: str
    message_id: str
    data: bytes
    own: InitVar[Collection[str]]
    author: InitVar[str | None] = None

    def __post_init__(self, own: Collection[str], author: str | None) -> None:
        """Let the gate look at the bytes that will go on the wire."""
        gate.check(self.data, sender=author or self.sender, recipient=self.recipient, own=own)
