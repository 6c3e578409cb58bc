"""Which system a file comes from, told by what is in it and not by its name; opened, unpacked where it is packed."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from feedback_app.moving.formats import blogger, disqus, isso, remark42, wordpress
from feedback_app.moving.formats.records import Item, Reading, UnreadableExport
from feedback_app.moving.formats.xml_stream import Element, pieces

GZIP, ZIP, SQLITE = b"\x1f\x8b", b"PK\x03\x04", b"SQLite format 3\0"
BEGINNING = 512
# More than any export has; a small file that unpacks to this was made to fill a disk.
MOST_UNPACKED = 4 * 1024**3


class System(StrEnum):
    """Whose file it is. Ids of the two kinds of Blogger's are the same."""

    DISQUS = "disqus"
    WORDPRESS = "wordpress"
    ISSO = "isso"
    BLOGGER = "blogger"
    REMARK42 = "remark42"


READERS: dict[System, Callable[[IO[bytes], str, Reading], Iterator[Item]]] = {
    System.DISQUS: disqus.read,
    System.WORDPRESS: wordpress.read,
    System.BLOGGER: blogger.read,
    System.REMARK42: remark42.read,
}


class _Unpacked:
    """A file that is unpacked as it is read, as long as that is within reason."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name, self._left = gzip.GzipFile(fileobj=file), name, MOST_UNPACKED

    def read(self, size: int = -1) -> bytes:
        return self._taken(lambda: self._file.read(size if size >= 0 else self._left + 1))

    def readline(self, size: int = -1) -> bytes:
        return self._taken(lambda: self._file.readline(size))

    def seek(self, place: int) -> int:
        return self._file.seek(place)

    def _taken(self, take: Callable[[], bytes]) -> bytes:
        try:
            taken = take()
        except (OSError, EOFError, zlib.error) as error:
            message = f"{self._name}: this is not a whole gzip file: copy it again"
            raise UnreadableExport(message) from error
        self._left -= len(taken)
        if self._left < 0:
            message = f"{self._name}: it unpacks to more than {MOST_UNPACKED // 1024**3} GiB, which no export does"
            raise UnreadableExport(message)
        return taken


@contextmanager
def opened(path: Path, reading: Reading, progress: Callable[[int], None]) -> Iterator[tuple[System, Iterator[Item]]]:
    """Whose file this is, and everything in it. `progress` is told the bytes read so far. Raises Unreadable."""
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(path.open("rb"))
            start = raw.read(BEGINNING)
            raw.seek(0)
        except OSError as error:
            message = f"{path}: {error.strerror}"
            raise UnreadableExport(message) from error
        if start.startswith(ZIP):
            message = f"{path}: a packed folder: unpack it and name the file in it (Takeout: Blogger/Blogs/…/feed.atom)"
            raise UnreadableExport(message)
        if start.startswith(SQLITE):
            yield System.ISSO, isso.read(path, reading)
            return
        file = cast("IO[bytes]", _Unpacked(raw, str(path))) if start.startswith(GZIP) else raw
        begin = file.read(BEGINNING)
        file.seek(0)
        system = _system(begin, file, str(path))
        file.seek(0)
        yield system, _told(READERS[system](file, str(path), reading), raw, progress)


def _told(found: Iterator[Item], raw: IO[bytes], progress: Callable[[int], None]) -> Iterator[Item]:
    for number, item in enumerate(found):
        if not number % 500:
            progress(raw.tell())
        yield item


def _system(begin: bytes, file: IO[bytes], name: str) -> System:
    plain = begin.removeprefix(b"\xef\xbb\xbf").lstrip()
    if plain.startswith(b'{"version"'):
        return System.REMARK42
    if plain.startswith(b"{"):
        message = f"{name}: JSON, but no backup of Remark42's (of our own two exports, the Disqus XML can be imported)"
        raise UnreadableExport(message)
    if not plain.startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        message = f"{name}: this is no export of Disqus, WordPress, Isso, Blogger or Remark42"
        raise UnreadableExport(message)
    root = next(pieces(file, name, ()), None)
    system = None if root is None else _system_of(root)
    if system is None:
        message = f"{name}: this is XML, but no export of Disqus, WordPress or Blogger"
        raise UnreadableExport(message)
    return system


def _system_of(root: Element) -> System | None:
    if root.tag == disqus.ROOT:
        return System.DISQUS
    if root.tag == "rss" and wordpress.namespace_of(root):
        return System.WORDPRESS
    return System.BLOGGER if root.tag == f"{blogger.ATOM}feed" else None
