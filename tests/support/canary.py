"""Canaries: made-up secrets that are given to the shop, and then looked for in everything it left behind."""

import base64
import html
import quopri
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

SHORTEST = 6
_WRAP = re.compile(rb"=?\r?\n[ \t]*")


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
    """A secret as it could stand somewhere: as it is, and as programs write what they don't mean to show.

    Each also of the secret in small letters, which is how an address is looked up.
    """
    found = _written(secret)
    if secret.lower() != secret:
        found |= {f"{name}, small letters": form for name, form in _written(secret.lower()).items()}
    return {name: form for name, form in found.items() if len(form) >= SHORTEST}


def _written(secret: bytes) -> dict[str, bytes]:
    text = secret.decode("utf-8", "replace")
    found = {
        "plain": secret,
        "capitals": secret.upper(),
        "percent": quote(secret, safe="").encode(),
        "percent, twice": quote(quote(secret, safe=""), safe="").encode(),
        "percent, small letters": quote(secret, safe="").lower().encode(),
        "quoted-printable": quopri.encodestring(secret).strip().replace(b"=\n", b""),
        "quoted-printable, its @": secret.replace(b"@", b"=40"),
        "quoted-printable, every sign": b"".join(b"=%02X" % byte for byte in secret),
        "json, its @": secret.replace(b"@", b"\\u0040"),
        "hex": secret.hex().encode(),
        "hex, capitals": secret.hex().upper().encode(),
        "backwards": secret[::-1],
        "html": html.escape(text).encode(),
        "html, its @": secret.replace(b"@", b"&#64;"),
        "html, every sign": "".join(f"&#{byte};" for byte in secret).encode(),
        "utf-16": text.encode("utf-16-le"),
        "python": repr(secret)[2:-1].encode(),
    }
    for shift in range(3):
        # What stands in front shifts a secret's base64: only the middle, which does not depend on it, is looked for.
        whole = base64.b64encode(b"\0" * shift + secret)
        middle = whole[4 if shift else 0 : len(whole) - 4]
        found[f"base64, shifted by {shift}"] = middle
        found[f"base64url, shifted by {shift}"] = middle.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def search(canaries: dict[str, bytes], places: Iterable[Place]) -> list[Found]:
    """Every canary in every place where it must not be."""
    wanted = {label: encodings(secret) for label, secret in canaries.items()}
    found = []
    for place in places:
        # Long codes are wrapped, in letters and elsewhere: a line break, soft or hard, hides nothing.
        unwrapped = _WRAP.sub(b"", place.data)
        for label in wanted.keys() - place.own:
            for encoding, form in wanted[label].items():
                if form in place.data or form in unwrapped:
                    found.append(Found(label, encoding, place.name))
    return found


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
