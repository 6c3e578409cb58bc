"""Files of the site: replaced whole or not at all, and only when they differ."""

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Output(NamedTuple):
    """A file of the site: what it was made of, and what the file was like then. `key` is empty for what is copied."""

    key: bytes
    mtime: int
    size: int
    inode: int


@dataclass(slots=True)
class WriteCounts:
    """What became of the files, in numbers."""

    written: int = 0
    removed: int = 0
    unchanged: int = 0


def write_whole(path: Path, data: bytes, *, folders: bool = True) -> None:
    """Put a file in the place of another, so that a reader sees the one or the other.

    One process at a time: what a killed one left half written is written over by the next. Its folder is made, unless
    that is not wanted; then FileNotFoundError is raised.
    """
    if folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_if_changed(path: Path, data: bytes, written: WriteCounts, *, folders: bool = True) -> None:
    """Write a file only when it differs from what is there."""
    try:
        same = path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        same = False
    if same:
        written.unchanged += 1
        return
    write_whole(path, data, folders=folders)
    written.written += 1


def files_below(folder: Path) -> Iterator[str]:
    """Every file below a folder, as a path relative to it, in order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        beside = parent[len(str(folder)) :].lstrip(os.sep)
        for name in sorted(names):
            yield os.path.join(beside, name)  # noqa: PTH118 - of twenty thousand files


def mirror(source: Path, target: Path, keep: Iterable[str] = (), lasting: Container[str] = ()) -> WriteCounts:
    """Make a folder the same as another: pages appear whole, what is gone is removed last.

    `keep` are folders of the target that are somebody else's, `lasting` files that stay.
    """
    written = WriteCounts()
    wanted = set(files_below(source))
    # Pictures and styles first, pages after: a page that is there finds what it needs.
    for name in sorted(wanted, key=lambda name: (name.removesuffix(".gz").endswith((".html", ".xml")), name)):
        write_if_changed(target / name, (source / name).read_bytes(), written)
    kept = tuple(f"{folder}{os.sep}" for folder in keep)
    for name in list(files_below(target)) if target.exists() else []:
        if name not in wanted and name not in lasting and not name.startswith(kept or ("\0",)):
            (target / name).unlink()
            written.removed += 1
    _remove_empty_folders(target)
    return written


def place(source: Path, target: Path, names: Iterable[str], gone: Iterable[str], posts: Container[str]) -> WriteCounts:
    """Put some files into a site that stays up: who is linked to comes before who links to it, and goes last."""
    written = WriteCounts()

    def rank(name: str) -> tuple[int, str]:
        # What is compressed stands where its original stands.
        name = name.removesuffix(".gz")
        if not name.endswith((".html", ".xml")):
            return 0, name
        if name in posts:
            # A new post before the one that names it as its neighbour.
            return (2 if (target / name).exists() else 1), name
        return 3 + name.endswith(".xml") + 2 * ("/" not in name), name

    for name in sorted(names, key=rank):
        write_if_changed(target / name, (source / name).read_bytes(), written)
    for name in sorted(gone, key=rank, reverse=True):
        (target / name).unlink(missing_ok=True)
        written.removed += 1
        _remove_if_empty((target / name).parent, target)
    return written


def verified(known: Mapping[str, Output], target: Path) -> dict[str, Output]:
    """The site as it is known, and with an empty key whatever is not what it was: that is made again, or removed."""
    site: dict[str, Output] = {}
    for name, status in _statuses(target) if known and target.exists() else ():
        output = known.get(name)
        if output is None or output[1:] != (status.st_mtime_ns, status.st_size, status.st_ino):
            output = Output(b"", status.st_mtime_ns, status.st_size, status.st_ino)
        site[name] = output
    return site


def _statuses(folder: Path | str, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if not entry.is_dir():
                yield name, entry.stat()
            elif name != "pagefind" and not entry.is_symlink():
                yield from _statuses(entry.path, f"{name}/")


def _remove_if_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _remove_empty_folders(folder: Path) -> None:
    for parent, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            path = Path(parent) / name
            if not any(path.iterdir()):
                path.rmdir()
