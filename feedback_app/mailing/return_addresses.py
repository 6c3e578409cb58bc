"""Return addresses: one a letter, sealed, so that a bounce says which letter it is about and none can be made up.

A shop's From `hello@socks.example` becomes `hello+b…@socks.example` on the envelope: a subaddress (RFC 5233) of the
same mailbox, in which nobody but the shop can read whose letter it was, or count.
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
# 24 bytes: 8 of numbers and 16 of seal (RFC 5297), 39 letters of base32, in small letters: servers may lose the case.
_TOKEN_LENGTH = 39
# A From whose local part is longer leaves no room for them: nothing that comes back can be told apart.
LONGEST_FROM = LONGEST_LOCAL_PART - len(MARK) - _TOKEN_LENGTH
_TOKEN = re.compile(rf"\+b([a-z2-7]{{{_TOKEN_LENGTH}}})@", re.IGNORECASE)

# The seal and a byte to fill it up, so that it is a whole number of letters of five bits.
_BYTES = 25
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz234567".ljust(256)


def _steps() -> list[tuple[int, int, int]]:
    """How letters of five bits, side by side in one number, come to have a byte each.

    From the right, letter `n` has to go up by `3 * n` bits: for each bit of `n`, the letters that have it go together.
    A step is what stays, what moves, and by how many bits.
    """
    places = {number: 5 * number for number in range(_BYTES * 8 // 5)}
    steps = []
    for bit in (32, 16, 8, 4, 2, 1):
        moving = sum(31 << place for number, place in places.items() if number & bit)
        staying = sum(31 << place for number, place in places.items() if not number & bit)
        steps.append((staying, moving, 3 * bit))
        places = {number: place + 3 * (number & bit) for number, place in places.items()}
    return steps


_STEPS = _steps()


@dataclass(frozen=True, slots=True)
class ReturnedLetter:
    """Which letter a return address was made for."""

    mailing_id: int
    customer_id: int


class ReturnAddresses:
    """Makes and reads the return addresses of a shop."""

    def __init__(self, signer: Signer, mail_from: str) -> None:
        """Take the shop's From, below which the addresses are made."""
        self._ciphers = signer.return_ciphers
        self._plain = parseaddr(mail_from)[1]
        local, _, domain = self._plain.rpartition("@")
        self._before, self._after = f"{local}{MARK}", f"@{domain}"
        self._has_room = len(local) <= LONGEST_FROM

    def address(self, mailing_id: int, customer_id: int) -> str:
        """The return address of one letter; the plain From where that is too long to have one."""
        if not self._has_room:
            return self._plain
        try:
            numbers = mailing_id.to_bytes(MAILING_BYTES, "big") + customer_id.to_bytes(CUSTOMER_BYTES, "big")
        except OverflowError:
            return self._plain
        token = _spelled(self._ciphers[0].encrypt(numbers, None))
        return f"{self._before}{token}{self._after}"

    def read(self, text: str) -> ReturnedLetter | None:
        """The letter of the first genuine return address in a text; None where there is none."""
        return next((sent for token in _TOKEN.findall(text) if (sent := self._open(token))), None)

    def first(self, texts: Iterable[str]) -> ReturnedLetter | None:
        """The letter of the first genuine return address in several texts."""
        return next((sent for text in texts if (sent := self.read(text))), None)

    def _open(self, token: str) -> ReturnedLetter | None:
        try:
            sealed = base64.b32decode(f"{token.upper()}=")
        except ValueError:
            return None
        for cipher in self._ciphers:
            try:
                numbers = cipher.decrypt(sealed, None)
            except (InvalidTag, ValueError):
                continue
            return ReturnedLetter(
                int.from_bytes(numbers[:MAILING_BYTES], "big"), int.from_bytes(numbers[MAILING_BYTES:], "big")
            )
        return None


def _spelled(sealed: bytes) -> str:
    """A seal in base32 (RFC 4648, 6), in small letters: the library's own takes three times as long for a letter."""
    bits = int.from_bytes(sealed + b"\0", "big")
    for staying, moving, by in _STEPS:
        bits = bits & staying | (bits & moving) << by
    return bits.to_bytes(_BYTES * 8 // 5, "big").translate(_ALPHABET)[:_TOKEN_LENGTH].decode()
