"""A whole site in the place of another, in one step of the file system."""

import ctypes
import errno
import os
import shutil
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from feedback_app.publishing.files.write import WriteCounts, files_below, mirror

_HERE = -100  # AT_FDCWD: paths are meant as everywhere else
_EXCHANGE = 2  # RENAME_EXCHANGE (renameat2(2), Linux)
# Where two folders can't change places: another file system, a folder that is mounted, a parent that is not ours, a
# system that knows no such step.
_CANNOT = {errno.EXDEV, errno.EBUSY, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EROFS}


def stage_of(output: Path, instance: Path) -> Path:
    """Where a site is made before it is live: beside the output, if it can change places with it from there."""
    output = output.resolve()
    beside = output.parent
    if beside.is_dir() and os.access(beside, os.W_OK):
        return beside / f".{output.name}-next"
    return instance / "stage"


def swap(stage: Path, output: Path, keep: Collection[str], lasting: AbstractSet[str]) -> WriteCounts:
    """Put a whole site in the place of the one that is there: a reader finds the one or the other, and no mixture.

    Files that are the same keep their times, so that caches know them. `keep` are folders of the output that are
    somebody else's, `lasting` files that stay for pages in caches. Where the system can't exchange folders, file by
    file in the order of links. The stage holds the old site then, or nothing that is needed.
    """
    output = output.resolve()
    written = _compared(stage, output, keep, lasting)
    if not written.written and not written.removed:
        return written
    try:
        if output.exists():
            _bring(output, stage, [*keep, *lasting])
            _exchange(stage, output)
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            stage.rename(output)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        mirror(stage, output, keep=keep, lasting=lasting)
    return written


def place_together(stage: Path, output: Path, made: Iterable[str], gone: Iterable[str]) -> WriteCounts | None:
    """Put some files into the site, and take some out, in one step: the rest come along as what they are.

    For pages that link to each other, of which none could be the first to come or the last to go. None where the system
    can't do that, and then nothing has changed.
    """
    output = output.resolve()
    made, gone = list(made), set(gone)
    written = WriteCounts(removed=len(gone))
    for name in made:
        same = (output / name).exists() and _same(stage / name, output / name)
        written.unchanged += same
        written.written += not same
    left_out = {*made, *gone}
    try:
        for name in files_below(output):
            if name not in left_out:
                (stage / name).parent.mkdir(parents=True, exist_ok=True)
                os.link(output / name, stage / name)
        _exchange(stage, output)
    except OSError as error:
        if error.errno not in _CANNOT | {errno.EMLINK}:
            raise
        return None
    return written


def _compared(stage: Path, output: Path, keep: Iterable[str], lasting: AbstractSet[str]) -> WriteCounts:
    others = tuple(f"{folder}{os.sep}" for folder in keep) or ("\0",)
    there = {name for name in files_below(output) if not name.startswith(others)} if output.exists() else set()
    written = WriteCounts()
    for name in files_below(stage):
        if name in there and _same(stage / name, output / name):
            written.unchanged += 1
        else:
            written.written += 1
        there.discard(name)
    written.removed = len(there - lasting)
    return written


def _same(new: Path, old: Path) -> bool:
    """Whether two files say the same; the new one gets the old one's time then."""
    before = old.stat()
    if before.st_size != new.stat().st_size or old.read_bytes() != new.read_bytes():
        return False
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    return True


def _bring(output: Path, stage: Path, names: Iterable[str]) -> None:
    """Have some files and folders in both places: the same files, not copies, where the file system can do that."""
    for name in names:
        old, new = output / name, stage / name
        if new.exists() or not old.exists():
            continue
        new.parent.mkdir(parents=True, exist_ok=True)
        if old.is_dir():
            shutil.copytree(old, new, copy_function=_link)
        else:
            _link(old, new)


def _link(old: str | Path, new: str | Path) -> None:
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)


def _exchange(one: Path, other: Path) -> None:
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError as error:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from error
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
