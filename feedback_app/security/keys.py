"""Reading and making the shop's keys: from the environment, else from files in `INSTANCE/keys/`, made on first use.

An address key is made only for a store without data: with a new key, sealed data could not be opened.
"""

import base64
from dataclasses import dataclass
from pathlib import Path

from feedback_app.config import PREFIX, Settings
from feedback_app.security.crypto import LOOKUP, KeyProblem, KeyRing, new_key, read_key_file, write_key_file
from feedback_app.security.tokens import Signer

ADDRESS_VARIABLE = f"{PREFIX}ADDRESS_KEY"
SECRET_VARIABLE = f"{PREFIX}SECRET_KEY"


def signer(settings: Settings) -> Signer:
    """Return the signer of links and sessions. Its key is made when it is missing. Raises KeyProblem."""
    if settings.secret_key:
        return Signer(settings.secret_key.get_secret_value(), SECRET_VARIABLE)
    path = settings.keys / "secret.key"
    return Signer(read_key_file(path) or _first_key(settings, "secret.key"), str(path))


@dataclass(slots=True)
class AddressKeys:
    """The address keys of a shop. In a file, they can be rotated while other processes run."""

    settings: Settings
    _read_at: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        """Path of the key file."""
        return self.settings.keys / "address.key"

    @property
    def where(self) -> str:
        """Name of the variable or the file that holds the keys, for messages."""
        return ADDRESS_VARIABLE if self.in_environment else str(self.path)

    @property
    def in_environment(self) -> bool:
        """Whether the keys come from the environment, where only the owner can change them."""
        return self.settings.address_key is not None

    def ring(self, *, may_make: bool = False) -> KeyRing:
        """Read the current keys. Raises KeyProblem when they are missing and `may_make` is not set."""
        if self.settings.address_key:
            return KeyRing.parse(self.settings.address_key.get_secret_value(), ADDRESS_VARIABLE)
        self._read_at = self._stamp()
        text = read_key_file(self.path)
        if text is None and not may_make:
            message = f"{self.where}: the address key is missing, and the store can't be read without it: put it back"
            raise KeyProblem(message)
        return KeyRing.parse(text or _first_key(self.settings, "address.key"), self.where)

    def changed(self) -> bool:
        """Return whether the file changed since it was read."""
        return not self.in_environment and self._stamp() != self._read_at

    def add_new(self) -> KeyRing:
        """Put a new sealing key first. The look-up key is written out, so that it outlives dropped keys."""
        old = read_key_file(self.path) or ""
        kept = [item for item in old.split(",") if item and not item.startswith(LOOKUP)]
        return self._write([new_key(), *kept])

    def keep_only(self, ids: set[bytes]) -> KeyRing:
        """Drop all sealing keys but those with these fingerprints."""
        old = read_key_file(self.path) or ""
        items = [item for item in old.split(",") if item and not item.startswith(LOOKUP)]
        return self._write([item for item in items if KeyRing.parse(item, self.where).current_id in ids])

    def _write(self, items: list[str]) -> KeyRing:
        lookup = base64.urlsafe_b64encode(self.ring().lookup).decode()
        write_key_file(self.path, ",".join([*items, LOOKUP + lookup]))
        return self.ring()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def _first_key(settings: Settings, name: str) -> str:
    text = new_key()
    return text if write_key_file(settings.keys / name, text, first=True) else read_key_file(settings.keys / name) or ""
