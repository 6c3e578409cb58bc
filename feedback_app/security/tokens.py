"""Tokens of links: each is for one customer, one purpose and a limited time, and reveals nothing that could be counted.

A token is a record encrypted with AES-SIV (RFC 5297), in base64url (RFC 4648, section 5). AES-SIV needs no nonce, so a
token is short, and it is deterministic, so a link stays the same all day.
"""

import base64
import struct
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from feedback_app.security.crypto import KeyProblem, derive, parse_key

# 14 bytes. Encrypted they are 30, which is 40 letters of base64 without padding: mail programs that look for links in a
# text drop a final `=`.
_RECORD = struct.Struct(">HHHQ")
_EPOCH = datetime(2007, 10, 10, tzinfo=UTC)
_MAX_LENGTH = 80


class Purpose(IntEnum):
    """What a link may be used for. A number is never reused for another purpose."""

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
    """A token is forged, cut, for another purpose, or signed with a key that is gone."""


class ExpiredToken(BadToken):
    """A token was valid once."""


class Claim(NamedTuple):
    """What a token permits: one purpose, for one person (a row's number), about something (a topic's code, or 0)."""

    purpose: Purpose
    person: int
    about: int = 0


class Signer:
    """Makes and reads tokens. The first key signs; all are accepted, so that a key can be rotated."""

    def __init__(self, key_text: str, name: str) -> None:
        """Derive the keys from a text of keys separated by commas; `name` names it in errors. Raises KeyProblem."""
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
        """Return a token that is valid until the end of the day (UTC) that is `days` after now."""
        last_day = (now + timedelta(days=days) - _EPOCH).days
        record = _RECORD.pack(claim.purpose, claim.about, last_day, claim.person)
        return _base64url(self._ciphers[0].encrypt(record, None))

    def read(self, token: str, purpose: Purpose, *, now: datetime) -> Claim:
        """Return what a token permits. Raises ExpiredToken, or BadToken for everything but a token for this purpose."""
        if len(token) > _MAX_LENGTH or not token.isascii():
            raise BadToken
        try:
            sealed = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        except ValueError as error:
            raise BadToken from error
        if _base64url(sealed) != token:
            # The decoder also accepts `+` and `/`; a token has one spelling only.
            raise BadToken
        found_purpose, about, last_day, person = _RECORD.unpack(self._open(sealed))
        if found_purpose != purpose:
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


def _base64url(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode()
