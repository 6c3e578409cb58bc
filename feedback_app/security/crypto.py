"""Addresses and names at rest: sealed with AES-256-GCM, found by a keyed hash.

A key's text is a list of keys separated by commas: the first one seals, every one opens. An item `lookup:…` is the key
of the keyed hash. Without one it is derived from the last key, so that it survives the rotation of the sealing key: the
address of an erased customer cannot be hashed again.
"""

import base64
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
PASSPHRASE_LENGTH = 16
KEY_ID_BYTES = 4
NONCE_BYTES = 12
LOOKUP = "lookup:"


class KeyProblem(Exception):  # noqa: N818 - a problem with a key, told to the owner in one line
    """A key is missing, malformed or not the store's; the message says which and what to do."""


class CannotOpen(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A sealed value was changed, moved to another column or row, or sealed with a key that is missing."""


def derive(key: bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """Derive a key for one purpose from a master key (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=f"undisclosed {purpose}".encode()).derive(key)


def new_key() -> str:
    """Return a new random key as text."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def parse_key(text: str, name: str) -> bytes:
    """Return the key that a text holds: base64 of 32 bytes, or a passphrase of at least 16 characters.

    `name` names the key in the error. Raises KeyProblem when the text is too short to be a secret.
    """
    try:
        raw = base64.urlsafe_b64decode(text.encode())
    except ValueError:
        raw = b""
    if len(raw) == KEY_BYTES:
        return raw
    if len(text) < PASSPHRASE_LENGTH:
        message = f"{name}: a key is base64 of {KEY_BYTES} random bytes, or at least {PASSPHRASE_LENGTH} characters"
        raise KeyProblem(message)
    return derive(text.encode(), "passphrase")


def write_key_file(path: Path, text: str, *, first: bool = False) -> bool:
    """Write a key file, readable by this user alone. A crash leaves the old file or the new one.

    With `first` an existing file is kept, even if another process creates it at this moment. Returns whether the file
    now holds this key.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A hard link, unlike a rename, never replaces a file.
        if first:
            path.hardlink_to(draft)
            return True
        draft.replace(path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def read_key_file(path: Path) -> str | None:
    """Return a key file's text, or None when there is no file. Raises KeyProblem when the file can't be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: the key can't be read ({error.__class__.__name__})"
        raise KeyProblem(message) from error


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that seals and opens, with its fingerprint as its `id`."""

    id: bytes
    cipher: AESGCM

    @classmethod
    def of(cls, master: bytes) -> "SealingKey":
        """Derive the sealing key of a master key."""
        return cls(derive(master, "key id", KEY_ID_BYTES), AESGCM(derive(master, "seal")))


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The current keys: the first one seals, all open; the look-up key is separate."""

    sealing: tuple[SealingKey, ...]
    lookup: bytes
    # By the fingerprint of the key.
    ciphers: Mapping[bytes, AESGCM] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Index the ciphers by fingerprint."""
        object.__setattr__(self, "ciphers", {key.id: key.cipher for key in self.sealing[::-1]})

    @classmethod
    def parse(cls, text: str, name: str) -> "KeyRing":
        """Parse a key's text. Raises KeyProblem."""
        items = [item.strip() for item in text.split(",") if item.strip()]
        masters = [parse_key(item, name) for item in items if not item.startswith(LOOKUP)]
        lookups = [parse_key(item.removeprefix(LOOKUP), name) for item in items if item.startswith(LOOKUP)]
        if not masters or len(lookups) > 1:
            message = f"{name}: needs at least one key, and at most one {LOOKUP}…"
            raise KeyProblem(message)
        lookup = lookups[0] if lookups else derive(masters[-1], "lookup")
        return cls(tuple(SealingKey.of(master) for master in masters), lookup)

    @property
    def current_id(self) -> bytes:
        """Fingerprint of the key that seals."""
        return self.sealing[0].id

    @property
    def lookup_check(self) -> bytes:
        """Hash by which a store recognises its look-up key; it reveals nothing about the key."""
        return hmac.digest(self.lookup, b"undisclosed lookup check", "sha256")


class KeySource(Protocol):
    """Source of a vault's keys, which can be rotated."""

    def ring(self) -> KeyRing:
        """Read the current keys."""
        ...

    def changed(self) -> bool:
        """Return whether the keys changed since they were read."""
        ...


class Vault:
    """Seals, opens and fingerprints values. It looks for rotated keys before it seals."""

    def __init__(self, ring: KeyRing, source: KeySource | None = None) -> None:
        """Start with a key ring; without a source it never changes."""
        self.ring = ring
        self._source = source

    def refresh(self) -> None:
        """Read the keys again if they changed."""
        if self._source and self._source.changed():
            self.ring = self._source.ring()

    def seal(self, column: str, owner: bytes, text: str) -> bytes:
        """Encrypt a text for one column (`table.column`) of one row, which `owner` identifies."""
        return self.sealer()(column, owner, text)

    def sealer(self) -> Callable[[str, bytes, str], bytes]:
        """Return a function like `seal` for many values of one transaction: it looks for rotated keys only once."""
        self.refresh()
        key = self.ring.sealing[0]

        def seal(column: str, owner: bytes, text: str) -> bytes:
            nonce = os.urandom(NONCE_BYTES)
            return key.id + nonce + key.cipher.encrypt(nonce, text.encode(), _associated_data(column, owner))

        return seal

    def open(self, column: str, owner: bytes, sealed: bytes) -> str:
        """Decrypt a value that was sealed for the same column and row. Raises CannotOpen."""
        key_id = sealed[:KEY_ID_BYTES]
        cipher = self.ring.ciphers.get(key_id)
        if cipher is None:
            self.refresh()
            cipher = self.ring.ciphers.get(key_id)
        if cipher is None:
            message = f"{column}: sealed with a key that is not here (fingerprint {key_id.hex()})"
            raise CannotOpen(message)
        nonce = sealed[KEY_ID_BYTES : KEY_ID_BYTES + NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, sealed[KEY_ID_BYTES + NONCE_BYTES :], _associated_data(column, owner)).decode()
        except (InvalidTag, ValueError) as error:
            message = f"{column}: a sealed value was changed or moved here from elsewhere"
            raise CannotOpen(message) from error

    def fingerprint(self, normalised: str) -> bytes:
        """Return the keyed hash (HMAC-SHA256) by which an address is found; useless without the key."""
        return hmac.digest(self.ring.lookup, normalised.encode(), "sha256")


def _associated_data(column: str, owner: bytes) -> bytes:
    return column.encode() + b"\0" + owner
