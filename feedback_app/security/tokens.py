"""Signed links: one person, one purpose, one expiry, and nothing that a reader of the link could learn or count.

A token is a sealed record (AES-SIV, RFC 5297: deterministic, so the same link stays the same all day, and short: no
nonce to carry), written in base64url (RFC 4648, section 5).
"""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from feedback_app.security.crypto import KeyProblem, derive, parse_key

# 14 bytes: sealed they are 30, which are 40 letters of base64 without padding, a sign that mail programs leave behind.
_RECORD = struct.Struct(">HHHQ")
_EPOCH = datetime(2007, 10, 10, tzinfo=UTC)
_LONGEST = 80
_FOR_LINKS = bytes.maketrans(b"+/", b"-_")


class Purpose(IntEnum):
    """What a link may be used for; a number is never given to another purpose."""

    PREFERENCES = 1
    UNSUBSCRIBE = 2
    CONFIRM_ANSWERS = 3
    STOP_ANSWERS = 4
    OWN_COMMENTS = 5
    MODERATE = 6
    SUBSCRIBE = 7
    CHANGE_FROM = 8
    CHANGE_TO = 9


class BadToken(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A token is forged, cut, of another purpose, or signed with a key that is gone."""


class ExpiredToken(BadToken):
    """A token was good once."""


class Claim(NamedTuple):
    """What a token says: this person may do this, about this (a topic's code, say, or 0), up to the end of that day."""

    purpose: Purpose
    person: int
    about: int = 0


@lru_cache(maxsize=16)
def _last_day(now: datetime, days: int) -> int:
    # A window of letters is made at one moment.
    return (now + timedelta(days=days) - _EPOCH).days


class Signer:
    """Makes and reads tokens. The first key signs; all are honoured, so that a key can be rotated."""

    def __init__(self, key_text: str, name: str) -> None:
        """Take the signing keys as text, separated by commas. Raises KeyProblem."""
        masters = [parse_key(item.strip(), name) for item in key_text.split(",") if item.strip()]
        if not masters:
            message = f"{name}: there is no key in it"
            raise KeyProblem(message)
        self._ciphers = [AESSIV(derive(master, "links", 64)) for master in masters]
        self.return_ciphers = [AESSIV(derive(master, "returns", 64)) for master in masters]
        self.identifier_key = derive(masters[-1], "identifiers")
        self.evidence_seeds = [derive(master, "evidence") for master in masters]
        self.work_key = derive(masters[0], "proof of work").hex()
        self.session_keys = [derive(master, "sessions").hex() for master in masters]

    def sign(self, claim: Claim, *, now: datetime, days: int) -> str:
        """A token that is good for whole days from now (UTC)."""
        record = _RECORD.pack(claim.purpose, claim.about, _last_day(now, days), claim.person)
        return _spelled(self._ciphers[0].encrypt(record, None))

    def read(self, token: str, purpose: Purpose, *, now: datetime) -> Claim:
        """What a token claims. Raises ExpiredToken, or BadToken when it is anything but a token for this purpose."""
        if len(token) > _LONGEST or not token.isascii():
            raise BadToken
        try:
            sealed = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except ValueError as error:
            raise BadToken from error
        if _spelled(sealed) != token:
            # The decoder takes the other alphabet too; a link has one spelling.
            raise BadToken
        said, about, last_day, person = _RECORD.unpack(self._open(sealed))
        if said != purpose:
            raise BadToken
        if (now - _EPOCH).days > last_day:
            raise ExpiredToken
        return Claim(purpose, person, about)

    def _open(self, sealed: bytes) -> bytes:
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed, None)
            except (InvalidTag, ValueError):
                continue
        raise BadToken


def _spelled(sealed: bytes) -> str:
    return binascii.b2a_base64(sealed, newline=False).translate(_FOR_LINKS).decode()
