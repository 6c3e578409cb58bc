"""The files that a build is made from: which there are, and which have changed since somebody looked."""

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

# A file's time of change, its inode's, its size, its inode.
Stamp = tuple[int, int, int, int]

# A file that changes twice within a tick of the file system's clock looks the same both times. What was changed less
# than this long before it was read is looked into again, the next time (nanoseconds).
RACY = 1_000_000_000


def scan(base: Path, folders: Sequence[str], *, extensions: frozenset[str], ignored: Iterable[str]) -> dict[str, Stamp]:
    """Every file below some folders of `base`, by its path relative to it, with its stamp, in order."""
    skip = re.compile("|".join(fnmatch.translate(pattern) for pattern in ignored) or r"(?!)")
    found: dict[str, Stamp] = {}
    for folder in folders:
        found.update(_below(base / folder, folder.strip("/") + "/" if folder else "", extensions, skip))
    return dict(sorted(found.items()))


def rescan(found: Mapping[str, Stamp], base: Path, named: Iterable[Path]) -> dict[str, Stamp] | None:
    """The same files with the stamps that these have now; None where one of these is no file that was there before."""
    again = dict(found)
    for path in named:
        name = path.relative_to(base).as_posix() if path.is_relative_to(base) else ""
        stamp = stamp_at(path) if name in found else None
        if stamp is None:
            return None
        again[name] = stamp
    return again


def _below(
    folder: Path | str, prefix: str, extensions: frozenset[str], skip: re.Pattern[str]
) -> Iterator[tuple[str, Stamp]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if skip.match(entry.name):
                continue
            if entry.is_dir():
                yield from _below(entry.path, f"{prefix}{entry.name}/", extensions, skip)
            elif entry.name.rpartition(".")[2] in extensions:
                try:
                    yield f"{prefix}{entry.name}", stamp_of(entry.stat())
                except FileNotFoundError:
                    # Taken away since the folder was read, or a link to nothing.
                    continue


def stamp_of(status: os.stat_result) -> Stamp:
    """What tells a file from what it was."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def stamp_at(path: Path) -> Stamp | None:
    """The stamp of a file, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else None


def is_racy(stamp: Stamp, seen: int) -> bool:
    """Whether a file seen at that moment (nanoseconds) may have changed since without showing it."""
    return max(stamp[0], stamp[1]) > seen - RACY


def digest(*parts: bytes) -> bytes:
    """A fingerprint of some bytes."""
    made = hashlib.blake2b(digest_size=12)
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()
