"""Addresses and names: validated, kept as they were given; addresses are compared without regard to case."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from feedback_app.i18n import marked

if TYPE_CHECKING:
    from email_validator import ValidatedEmail

NAME_LENGTH = 100
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
ADDRESS_LENGTH = 320
# RFC 5321, section 4.5.3.1.
LOCAL_LENGTH, PATH_LENGTH = 64, 254
PLAIN_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*")
# Text that reads as an address, in any script: no blank on either side of the @.
ADDRESS_SHAPE = re.compile(r"[^\s@<>()\[\],;:\"']@[^\s@<>()\[\],;:\"']")


class BadAddress(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """The text is not an address; the message says what is wrong without repeating it."""


class BadName(ValueError):  # noqa: N818 - reads as a sentence where it is raised
    """The name can't be used in a letter; the message says why without repeating it."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it was given, and the key by which it is found again."""

    written: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Validate an address (RFC 5321 and 6531) and normalise it. Raises BadAddress."""
        from email_validator import EmailNotValidError  # noqa: PLC0415 - a build of the blog parses no address

        text = text.strip()
        if len(text) > ADDRESS_LENGTH:
            message = marked("the address is too long")
            raise BadAddress(message)
        try:
            if (plain := _plain_key(text)) is not None:
                return cls(text, plain)
            valid = _validated(text)
        except EmailNotValidError as error:
            raise BadAddress(_reason(str(error), text)) from None
        # Not casefold(): it turns ß into ss, and those are two people's addresses.
        return cls(text, f"{valid.local_part.lower()}@{(valid.ascii_domain or valid.domain).lower()}")

    @property
    def masked(self) -> str:
        """The address with only its first letters, for its owner to recognise: `h…@e…`, always this long."""
        local, _, domain = self.written.rpartition("@")
        return f"{local[:1]}…@{domain[:1]}…"


def _validated(text: str) -> "ValidatedEmail":
    from email_validator import validate_email  # noqa: PLC0415 - as above

    return validate_email(text, check_deliverability=False, test_environment=True)


def _plain_key(text: str) -> str | None:
    """Return the key of an address of plain letters and digits, or None for one that needs the library.

    An imported list has many addresses and few domains, and the library spends its time on the domain.
    """
    local, _, domain = text.rpartition("@")
    if not PLAIN_LOCAL.fullmatch(local) or len(local) > LOCAL_LENGTH or len(text) > PATH_LENGTH or not domain.isascii():
        return None
    return f"{local.lower()}@{_domain_key(domain)}"


@lru_cache(maxsize=4096)
def _domain_key(domain: str) -> str:
    valid = _validated(f"x@{domain}")
    return (valid.ascii_domain or valid.domain).lower()


def _reason(said: str, text: str) -> str:
    # The library's messages can quote what was typed; an address must not appear in a message.
    if "@" not in text:
        return marked("an address has an @ in it: name@example.com")
    # Two or more characters between quotation marks are a piece of the input, perhaps in another case than typed.
    quotes_input = re.search(r"'[^']{2,}'", said) or any(
        len(piece) > 3 and piece in said  # noqa: PLR2004 - shorter pieces are ordinary words
        for piece in re.split(r"[@.\s]", text)
    )
    return marked("this is not a valid address") if quotes_input else said


def clean_name(text: str | None) -> str | None:
    """Return a name as it may stand in a letter, or None for a blank one.

    Raises BadName when the name could be taken for a header, a formula or an address.
    """
    text = unicodedata.normalize("NFC", (text or "").strip())
    if not text:
        return None
    if len(text) > NAME_LENGTH:
        message = marked("the name is longer than 100 letters")
        raise BadName(message)
    if not text.isprintable() and any(unicodedata.category(character) in INVISIBLE for character in text):
        message = marked("the name has line breaks or invisible characters in it")
        raise BadName(message)
    if "@" in unicodedata.normalize("NFKC", text) or "=?" in text:
        message = marked("the name has an address or a code in it")
        raise BadName(message)
    if text[0] in "=+-|":
        message = marked("the name starts like a formula")
        raise BadName(message)
    return " ".join(text.split())
