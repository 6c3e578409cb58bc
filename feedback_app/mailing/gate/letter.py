"""A letter: one message to one customer, checked when it is made, unchangeable after."""

from collections.abc import Collection
from dataclasses import InitVar, dataclass

from feedback_app.mailing.gate import check
from feedback_app.mailing.gate.fast_path import KnownTemplate


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """One message with one reader. There is no way to make one whose bytes do not pass the gate.

    `sender` is where it comes back to; `author` the shop's From, where that is another. `own` are the shop's
    addresses, which a letter may show. `known` is what the gate knows of other letters of the same frame: where that
    answers for this one, no second look is needed. It has no repr: in a log that would be an address. Raises
    GateRefused.
    """

    sender: str
    recipient: str
    message_id: str
    data: bytes
    own: InitVar[Collection[str]]
    author: InitVar[str | None] = None
    known: InitVar[KnownTemplate | None] = None

    def __post_init__(self, own: Collection[str], author: str | None, known: KnownTemplate | None) -> None:
        """Let the gate look at the bytes that will go on the wire."""
        sender = author or self.sender
        if type(self.data) is not bytes:
            message = "a letter was stopped at the gate: its bytes could be changed after the look"
            raise check.GateRefused(message)
        if type(known) is not KnownTemplate or not known.answers_for(
            self.data, sender=sender, recipient=self.recipient, own=own
        ):
            check.check(self.data, sender=sender, recipient=self.recipient, own=own)
