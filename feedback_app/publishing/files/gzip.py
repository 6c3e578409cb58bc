"""Precompressed files (gzip, RFC 1952) beside the originals, for web servers that hand them out as they are."""

import gzip
from pathlib import Path

from feedback_app.publishing.files.write import WriteCounts, write_if_changed

ENDING = ".gz"
KINDS = frozenset({".html", ".xml", ".css", ".js", ".svg", ".txt", ".json"})
# Less than that fits into one packet anyway.
SMALLEST = 1024


def worth_it(path: Path) -> bool:
    """Whether a file gains by it."""
    return path.suffix in KINDS and path.stat().st_size >= SMALLEST


def compressed(data: bytes) -> bytes:
    """The same bytes each time: no time, no name."""
    return gzip.compress(data, 9, mtime=0)


def refresh(path: Path, written: WriteCounts) -> Path | None:
    """After a page was rewritten in place: the same for the one beside it. Returns its place, if there is one now."""
    beside = path.with_name(path.name + ENDING)
    if not worth_it(path):
        beside.unlink(missing_ok=True)
        return None
    write_if_changed(beside, compressed(path.read_bytes()), written)
    return beside
