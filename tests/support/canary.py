"""Canaries: made-up secrets that are given to the shop, and then looked for in everything it left behind."""

import base64
import html
import quopri
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SHORTEST = 6


@dataclass(frozen=True, slots=True)
class Found:
    """A canary where it must not be."""

    canary: str
    encoding: str
    place: str


@dataclass(frozen=True, slots=True)
class Place:
    """Something that the shop left behind. `own` are the canaries that may stand there."""

    name: str
    data: bytes
    own: frozenset[str] = frozenset()


def encodings(secret: bytes) -> dict[str, bytes]:
    """A secret as it could stand somewhere: as it is, and as programs write what they don't mean to show."""
    found = {
        "plain": secret,
        "lower case": secret.lower(),
        "upper case": secret.upper(),
        "percent": quote(secret, safe="").encode(),
        "percent, lower case": quote(secret, safe="").lower().encode(),
        "quoted-printable": quopri.encodestring(secret).strip().replace(b"=\n", b""),
        "quoted-printable, every sign": b"".join(b"=%02X" % byte for byte in secret),
        "hex": secret.hex().encode(),
        "hex, upper case": secret.hex().upper().encode(),
        "reversed": secret[::-1],
        "html": html.escape(secret.decode("utf-8", "replace")).encode(),
        "html, every sign": "".join(f"&#{byte};" for byte in secret).encode(),
        "utf-16": secret.decode("utf-8", "replace").encode("utf-16-le"),
        "python": repr(secret)[2:-1].encode(),
    }
    for shift in range(3):
        # What stands in front shifts a secret's base64: only the middle, which does not depend on it, is looked for.
        whole = base64.b64encode(b"\0" * shift + secret)
        middle = whole[4 if shift else 0 : len(whole) - 4]
        found[f"base64, shifted by {shift}"] = middle
        found[f"base64url, shifted by {shift}"] = middle.translate(bytes.maketrans(b"+/", b"-_"))
    return {name: encoded for name, encoded in found.items() if len(encoded) >= SHORTEST}


def search(canaries: dict[str, bytes], places: Iterable[Place]) -> list[Found]:
    """Every canary in every place where it must not be."""
    wanted = {label: encodings(secret) for label, secret in canaries.items()}
    return [
        Found(label, encoding, place.name)
        for place in places
        for label, forms in wanted.items()
        if label not in place.own
        for encoding, form in forms.items()
        if form in place.data
    ]


def files(folder: Path, *, without: tuple[str, ...] = ()) -> Iterator[Place]:
    """Every file below a folder, and its name, but for what lies below the folders named."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(str(relative).startswith(left_out) for left_out in without):
            yield Place(f"{folder.name}/{relative}", path.read_bytes())
            yield Place(f"the name of {folder.name}/{relative}", str(relative).encode())


@dataclass(slots=True)
class Arguments:
    """The arguments of every process on this machine while it is watched, which anybody here could read."""

    seen: set[bytes] = field(default_factory=set)

    @contextmanager
    def watched(self) -> Iterator["Arguments"]:
        """Look again and again until the end of the `with`."""
        stop = threading.Event()

        def look() -> None:
            while not stop.wait(0.03):
                for path in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        self.seen.add(path.read_bytes())
                    except OSError:
                        continue

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()
