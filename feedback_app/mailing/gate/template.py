"""The frame of a mailing's letters: their bytes, made once, with slots where one letter differs from another."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

# What keeps a slot's place in a text: of private use in Unicode, and not what keeps those of a mailing's placeholders.
GAP = re.compile("\ue002(\\w+)\ue003")


class Slot(StrEnum):
    """What differs from letter to letter."""

    TO = "to"
    DATE = "date"
    MESSAGE_ID = "message_id"
    # The last part of a link.
    UNSUBSCRIBE = "unsubscribe"
    PREFERENCES = "preferences"
    # The reader's name, in quoted-printable; escaped where it stands in HTML.
    NAME = "name"
    NAME_IN_HTML = "name_in_html"

    @property
    def gap(self) -> str:
        """What keeps the slot's place in a text that is not yet bytes."""
        return f"\ue002{self.value}\ue003"


class Filling(NamedTuple):
    """What one letter has in the slots, in the slots' order: to find each by its name takes longer than to fill it."""

    to: bytes
    date: bytes
    message_id: bytes
    unsubscribe: bytes
    preferences: bytes
    name: bytes
    name_in_html: bytes


@dataclass(frozen=True, slots=True)
class LetterTemplate:
    """Pieces of bytes, and slots between them."""

    pieces: tuple[bytes | Slot, ...]
    # Where the slots are among them, and which one each is.
    places: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find the slots."""
        order = list(Slot)
        places = tuple((place, order.index(one)) for place, one in enumerate(self.pieces) if isinstance(one, Slot))
        object.__setattr__(self, "places", places)

    @classmethod
    def of(cls, text: str) -> "LetterTemplate":
        """The frame of a message with gaps. Raises ValueError for one that is no slot's."""
        return cls(
            tuple(Slot(piece) if place % 2 else piece.encode() for place, piece in enumerate(GAP.split(text)) if piece)
        )

    def filled(self, filling: Filling) -> bytes:
        """A whole letter."""
        pieces: list[bytes] = [*self.pieces]  # type: ignore[list-item]  # no slot is left
        for place, number in self.places:
            pieces[place] = filling[number]
        return b"".join(pieces)
