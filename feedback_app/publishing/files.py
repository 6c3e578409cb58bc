"""Files of the site: replaced whole or not at all, and only when they differ."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Written:
    """What became of the files, in numbers."""

    written: int = 0
    removed: int = 0
    unchanged: int = 0


def write_whole(path: Path, data: bytes) -> None:
    """Put a file in the place of another, so that a reader sees the one or the other.

    One process at a time: what a killed one left half written is written over by the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_if_changed(path: Path, data: bytes, written: Written) -> None:
    """Write a file only when it differs from what is there."""
    try:
        same = path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        same = False
    if same:
        written.unchanged += 1
        return
    write_whole(path, data)
    written.written += 1


def files_below(folder: Path) -> Iterator[str]:
    """Every file below a folder, as a path relative to it, in order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield str((Path(parent) / name).relative_to(folder))


def mirror(source: Path, target: Path, keep: Iterable[str] = ()) -> Written:
    """Make a folder the same as another: pages appear whole, what is gone is removed last.

    `keep` are folders of the target that are somebody else's.
    """
    written = Written()
    wanted = set(files_below(source))
    # Pictures and styles first, pages after: a page that is there finds what it needs.
    for name in sorted(wanted, key=lambda name: (name.endswith((".html", ".xml")), name)):
        write_if_changed(target / name, (source / name).read_bytes(), written)
    kept = tuple(f"{folder}{os.sep}" for folder in keep)
    for name in list(files_below(target)) if target.exists() else []:
        if name not in wanted and not name.startswith(kept or ("\0",)):
            (target / name).unlink()
            written.removed += 1
    _remove_empty_folders(target)
    return written


def _remove_empty_folders(folder: Path) -> None:
    for parent, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            path = Path(parent) / name
            if not any(path.iterdir()):
                path.rmdir()
