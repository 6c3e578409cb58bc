"""What of a built page the store decides, and how it is put there: between two comments that name its thread.

A full build prints the same pieces through the same functions, so that a page into which a piece was put later is
byte for byte the page that a full build would write.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

from markupsafe import Markup, escape

_PIECE = re.compile(r"<!--(thread|count|data) (\S+?)-->.*?<!--/\1-->", re.DOTALL)
FEW = 60
_MARK = re.compile(r"<!--(?:thread|count|data) (\S+?)-->")


def thread_piece(path: str, html: str) -> Markup:
    """A thread as it stands in its post's page."""
    return _piece("thread", path, html)


def count_piece(path: str, words: str) -> Markup:
    """A count as it stands wherever the post is listed."""
    return _piece("count", path, escape(words))


def data_piece(path: str, html: str) -> Markup:
    """What machines read about a thread, as it stands in its post's page."""
    return _piece("data", path, html)


def _piece(kind: str, path: str, html: str) -> Markup:
    return Markup(f"<!--{kind} {quote(path)}-->{html}<!--/{kind}-->")  # noqa: S704 - the renderer has escaped it


def counted(html: str) -> set[str]:
    """The threads that a page shows something of."""
    return {unquote(path) for path in _MARK.findall(html)}


def rebaked(page: bytes, pieces: Mapping[tuple[str, str], str]) -> bytes:
    """A page (UTF-8) with these pieces, by kind and path, in the place of what was there."""
    if len(pieces) <= FEW:
        # A list of ten thousand posts is looked through for three pieces in no time, if it is not taken apart.
        for (kind, path), piece in pieces.items():
            page = _with_piece(
                page, f"<!--{kind} {quote(path)}-->".encode(), f"<!--/{kind}-->".encode(), piece.encode()
            )
        return page
    replace: Callable[[re.Match[str]], str] = lambda match: pieces.get((match[1], unquote(match[2])), match[0])  # noqa: E731 - typed
    return _PIECE.sub(replace, page.decode()).encode()


def _with_piece(page: bytes, begin: bytes, end: bytes, piece: bytes) -> bytes:
    start = page.find(begin)
    while start >= 0:
        stop = page.index(end, start) + len(end)
        page = b"".join((page[:start], piece, page[stop:]))
        start = page.find(begin, start + len(piece))
    return page
