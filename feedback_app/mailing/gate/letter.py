"""A letter: one message to one recipient, checked when it is made and unchangeable after."""

from collections.abc import Collection
from dataclasses import InitVar, dataclass

from feedback_app.mailing.gate import check
from feedback_app.mailing.gate.fast_path import CheckedTemplate


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """One message with one recipient. There is no way to make one whose bytes do not pass the gate.

    `sender` is the return address on the envelope, and `author` the shop's From if that is another. `own` are the
    shop's addresses, which a letter may show. `checked_template` is what the gate knows of the letter's template: if
    that answers for this letter, the full check is not needed. There is no repr, which would put an address into logs.
    Raises GateRefused.
    """

    sender: str
    recipient: str
    message_id: str
    data: bytes
    own: InitVar[Collection[str]]
    author: InitVar[str | None] = None
    checked_template: InitVar[CheckedTemplate | None] = None

    def __post_init__(self, own: Collection[str], author: str | None, checked_template: CheckedTemplate | None) -> None:
        """Let the gate check the bytes that will be sent."""
        sender = author or self.sender
        if type(self.data) is not bytes:
            message = "a letter was stopped at the gate: its bytes could be changed after the look"
            raise check.GateRefused(message)
        # Exactly this class: a subclass could answer for anything.
        if type(checked_template) is not CheckedTemplate or not checked_template.answers_for(
            self.data, sender=sender, recipient=self.recipient, own=own
        ):
            check.check(self.data, sender=sender, recipient=self.recipient, own=own)
