"""Where the keys come from: the environment, else files in `INSTANCE/keys/`, made on first use.

A first address key is made only where there is no data yet: a new key over old data would lose it.
"""

import base64
import os
from dataclasses import dataclass, field

from feedback_app.config import PREFIX, Settings
from feedback_app.security.crypto import LOOKUP, KeyProblem, KeyRing, new_key, read_key_file, write_key_file
from feedback_app.security.tokens import Signer

ADDRESS_VARIABLE = f"{PREFIX}ADDRESS_KEY"
SECRET_VARIABLE = f"{PREFIX}SECRET_KEY"


def signer(settings: Settings) -> Signer:
    """What makes and reads links. Its key is made when it is missing. Raises KeyProblem."""
    if settings.secret_key:
        return Signer(settings.secret_key.get_secret_value(), SECRET_VARIABLE)
    path = settings.keys / "secret.key"
    return Signer(read_key_file(path) or _first_key(settings, "secret.key"), str(path))


@dataclass(slots=True)
class AddressKeys:
    """The address keys of a shop. Kept in a file, they can be rotated while other processes run."""

    settings: Settings
    _read_at: tuple[int, int] | None = None
    _path: str = field(init=False)

    def __post_init__(self) -> None:
        """Remember where the file is."""
        self._path = str(self.settings.keys / "address.key")

    @property
    def where(self) -> str:
        """Where the keys are, for a person who has to find them."""
        return ADDRESS_VARIABLE if self.in_environment else str(self.settings.keys / "address.key")

    @property
    def in_environment(self) -> bool:
        """Whether the keys come from the environment, where only a person can change them."""
        return self.settings.address_key is not None

    def ring(self, *, may_make: bool = False) -> KeyRing:
        """The keys as they are now. Raises KeyProblem when they are missing and must not be made."""
        if self.settings.address_key:
            return KeyRing.parse(self.settings.address_key.get_secret_value(), ADDRESS_VARIABLE)
        self._read_at = self._stamp()
        text = read_key_file(self.settings.keys / "address.key")
        if text is None and not may_make:
            message = f"{self.where}: the address key is missing, and the store can't be read without it: put it back"
            raise KeyProblem(message)
        return KeyRing.parse(text or _first_key(self.settings, "address.key"), self.where)

    def changed(self) -> bool:
        """Whether the file is not the one that was read last."""
        return not self.in_environment and self._stamp() != self._read_at

    def add_new(self) -> KeyRing:
        """Put a new sealing key in front; the look-up key is written out, so that it outlives those behind it."""
        old = read_key_file(self.settings.keys / "address.key") or ""
        kept = [item for item in old.split(",") if item and not item.startswith(LOOKUP)]
        return self._write([new_key(), *kept])

    def keep_only(self, ids: set[bytes]) -> KeyRing:
        """Drop the sealing keys that nothing is sealed with any more."""
        old = read_key_file(self.settings.keys / "address.key") or ""
        items = [item for item in old.split(",") if item and not item.startswith(LOOKUP)]
        return self._write([item for item in items if KeyRing.parse(item, self.where).current_id in ids])

    def _write(self, items: list[str]) -> KeyRing:
        lookup = base64.urlsafe_b64encode(self.ring().lookup).decode()
        write_key_file(self.settings.keys / "address.key", ",".join([*items, LOOKUP + lookup]))
        return self.ring()

    def _stamp(self) -> tuple[int, int] | None:
        # Asked before every sealing, so no path is put together for it.
        try:
            status = os.stat(self._path)  # noqa: PTH116 - see above
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def _first_key(settings: Settings, name: str) -> str:
    text = new_key()
    return text if write_key_file(settings.keys / name, text, first=True) else read_key_file(settings.keys / name) or ""
