"""The template of a mailing's letters: their bytes, made once, with slots for what differs between letters."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

# Marks a slot in a text. Unicode's private use area; a mailing's own placeholders use other characters of it.
GAP = re.compile("\ue002(\\w+)\ue003")


class Slot(StrEnum):
    """What differs from letter to letter."""

    TO = "to"
    DATE = "date"
    MESSAGE_ID = "message_id"
    # The tokens at the end of the links.
    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    # The recipient's name, in quoted-printable; in the HTML it is escaped before.
    NAME = "name"
    NAME_IN_HTML = "name_in_html"

    @property
    def gap(self) -> str:
        """What marks the slot in a text that is not yet bytes."""
        return f"\ue002{self.value}\ue003"


class SlotValues(NamedTuple):
    """One letter's values, in the order of `Slot`."""

    to: bytes
    date: bytes
    message_id: bytes
    unsubscribe: bytes
    preferences: bytes
    name: bytes
    name_in_html: bytes


@dataclass(frozen=True, slots=True)
class LetterTemplate:
    """Pieces of bytes with slots between them."""

    pieces: tuple[bytes | Slot, ...]
    # For each slot among the pieces: its index there, and its index in SlotValues.
    slots: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find the slots."""
        order = list(Slot)
        slots = tuple((index, order.index(piece)) for index, piece in enumerate(self.pieces) if isinstance(piece, Slot))
        object.__setattr__(self, "slots", slots)

    @classmethod
    def of(cls, text: str) -> "LetterTemplate":
        """Return the template of a message with gaps. Raises ValueError for a gap that is no slot's."""
        pieces = enumerate(GAP.split(text))
        # Every second piece is the name in a gap.
        return cls(tuple(Slot(piece) if index % 2 else piece.encode() for index, piece in pieces if piece))

    def fill(self, values: SlotValues) -> bytes:
        """Return a whole letter."""
        pieces: list[bytes] = [*self.pieces]  # type: ignore[list-item]  # every slot is replaced below
        for index, number in self.slots:
            pieces[index] = values[number]
        return b"".join(pieces)
