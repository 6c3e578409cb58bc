"""The frame of a mailing's letters: their bytes, made once, with slots where one letter differs from another."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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

    # The enum's own is Python, and asked a dozen times a letter.
    __hash__ = str.__hash__

    @property
    def gap(self) -> str:
        """What keeps the slot's place in a text that is not yet bytes."""
        return f"\ue002{self.value}\ue003"


@dataclass(frozen=True, slots=True)
class Frame:
    """Pieces of bytes, and slots between them."""

    pieces: tuple[bytes | Slot, ...]
    # Where the slots are among them.
    places: tuple[tuple[int, Slot], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find the slots."""
        places = tuple((place, piece) for place, piece in enumerate(self.pieces) if isinstance(piece, Slot))
        object.__setattr__(self, "places", places)

    @classmethod
    def of(cls, text: str) -> "Frame":
        """The frame of a message with gaps. Raises ValueError for one that is no slot's."""
        return cls(
            tuple(Slot(piece) if place % 2 else piece.encode() for place, piece in enumerate(GAP.split(text)) if piece)
        )

    def filled(self, values: Mapping[Slot, bytes]) -> bytes:
        """A whole letter."""
        pieces: list[bytes] = [*self.pieces]  # type: ignore[list-item]  # no slot is left
        for place, slot in self.places:
            pieces[place] = values[slot]
        return b"".join(pieces)
