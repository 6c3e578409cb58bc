"""Return addresses: one per letter, encrypted, so that a bounce says which letter it is about and can't be forged.

A shop's From `hello@socks.example` becomes `hello+b…@socks.example` on the envelope: a subaddress (RFC 5233) of the
same mailbox. Only the shop can read from it whose letter it was, and it does not show how many letters there are.
"""

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import parseaddr

from cryptography.exceptions import InvalidTag

from feedback_app.security.tokens import Signer

# RFC 5321, 4.5.3.1.1.
LONGEST_LOCAL_PART = 64
MARK = "+b"
MAILING_BYTES, CUSTOMER_BYTES = 3, 5
# 24 bytes (8 of numbers, and 16 that authenticate them: RFC 5297) are 39 signs of base32 (RFC 4648, 6). They are
# written in small letters, and read in any case: servers may change it.
_TOKEN_LENGTH = 39
# A From with a longer local part leaves no room for a token: its bounces can't be told apart.
LONGEST_FROM = LONGEST_LOCAL_PART - len(MARK) - _TOKEN_LENGTH
_TOKEN = re.compile(rf"\+b([a-z2-7]{{{_TOKEN_LENGTH}}})@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReturnedLetter:
    """The letter that a return address was made for."""

    mailing_id: int
    customer_id: int


class ReturnAddresses:
    """Makes and reads a shop's return addresses."""

    def __init__(self, signer: Signer, mail_from: str) -> None:
        """Take the shop's From, whose mailbox the addresses belong to."""
        self._ciphers = signer.return_ciphers
        self._plain = parseaddr(mail_from)[1]
        local, _, domain = self._plain.rpartition("@")
        self._before, self._after = f"{local}{MARK}", f"@{domain}"
        self._has_room = len(local) <= LONGEST_FROM

    def address(self, mailing_id: int, customer_id: int) -> str:
        """Return the return address of one letter; the plain From's address if that leaves no room for a token."""
        if not self._has_room:
            return self._plain
        try:
            numbers = mailing_id.to_bytes(MAILING_BYTES, "big") + customer_id.to_bytes(CUSTOMER_BYTES, "big")
        except OverflowError:
            return self._plain
        token = base64.b32encode(self._ciphers[0].encrypt(numbers, None)).decode().rstrip("=").lower()
        return f"{self._before}{token}{self._after}"

    def read(self, text: str) -> ReturnedLetter | None:
        """Return the letter of the first genuine return address in a text; None if there is none."""
        return next((letter for token in _TOKEN.findall(text) if (letter := self._decrypt(token))), None)

    def read_any(self, texts: Iterable[str]) -> ReturnedLetter | None:
        """Return the letter of the first genuine return address in several texts; None if there is none."""
        return next((letter for text in texts if (letter := self.read(text))), None)

    def _decrypt(self, token: str) -> ReturnedLetter | None:
        try:
            encrypted = base64.b32decode(f"{token.upper()}=")
        except ValueError:
            return None
        for cipher in self._ciphers:
            try:
                numbers = cipher.decrypt(encrypted, None)
            except (InvalidTag, ValueError):
                continue
            return ReturnedLetter(
                int.from_bytes(numbers[:MAILING_BYTES], "big"), int.from_bytes(numbers[MAILING_BYTES:], "big")
            )
        return None
