"""Addresses: validated, kept as they were given, and compared whatever the case of their letters."""

import re
import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

NAME_LENGTH = 100
# Something that reads as an address, in any script: no blank on either side of the @.
ADDRESS_SHAPE = re.compile(r"[^\s@<>()\[\],;:\"']@[^\s@<>()\[\],;:\"']")


class BadAddress(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """Not an address; the message says what is wrong without repeating it."""


class BadName(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """Not a name that can stand in a letter; the message says why without repeating it."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it was given, and the form by which it is found again."""

    written: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Validate (RFC 5321 and 6531) and normalise. Raises BadAddress."""
        text = text.strip()
        try:
            valid = validate_email(text, check_deliverability=False, test_environment=True)
        except EmailNotValidError as error:
            raise BadAddress(_reason(str(error), text)) from None
        return cls(text, f"{valid.local_part.casefold()}@{(valid.ascii_domain or valid.domain).lower()}")

    @property
    def masked(self) -> str:
        """Enough for its owner to recognise, nothing for anybody else: `h…@e…`, always this long."""
        local, _, domain = self.written.rpartition("@")
        return f"{local[:1]}…@{domain[:1]}…"


def _reason(said: str, text: str) -> str:
    # The library's sentences can quote what was typed; an address has no place in a message.
    if "@" not in text:
        return "an address has an @ in it: name@example.com"
    quotes_input = "@" in said.replace("@-sign", "").replace("@ sign", "") or any(
        piece and len(piece) > 3 and piece in said  # noqa: PLR2004 - shorter pieces are ordinary words
        for piece in re.split(r"[@\s]", text)
    )
    return "this is not a valid address" if quotes_input else said


def clean_name(text: str | None) -> str | None:
    """A name as it may stand in a letter, or None for a blank one.

    Raises BadName when it could pass for something else: a header, a formula, an address.
    """
    text = unicodedata.normalize("NFC", (text or "").strip())
    if not text:
        return None
    if len(text) > NAME_LENGTH:
        message = f"the name is longer than {NAME_LENGTH} letters"
        raise BadName(message)
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for character in text):
        message = "the name has line breaks or invisible characters in it"
        raise BadName(message)
    if "@" in unicodedata.normalize("NFKC", text) or "=?" in text:
        message = "the name has an address or a code in it"
        raise BadName(message)
    if text[0] in "=+-|":
        message = "the name starts like a formula"
        raise BadName(message)
    return " ".join(text.split())
