"""What becomes of a post's HTML when it stands elsewhere than on its own page: in a list, or in a feed."""

import html
import re
from collections.abc import Callable
from urllib.parse import urljoin

_TAG = re.compile(r"<[a-zA-Z/][^<>]*>")
# Those of them in which a list has something to change.
_CHANGED = re.compile(r'<(?=/?[hH][1-6]\b|[^<>]*\s(?:id="|href="#))[a-zA-Z/][^<>]*>')
# Pictures that a browser would get at once.
_AT_ONCE = re.compile(r"<img(?=\s)(?![^<>]*\sloading=)")
_HEADING = re.compile(r"^(</?h)([1-6])\b", re.IGNORECASE)
_LINK = re.compile(r'(\s(?:href|src)=")([^"]*)"')
_SRCSET = re.compile(r'(\ssrcset=")([^"]*)"')
_ID = re.compile(r'(\s(?:id="|href="#))([^"]+)"')
DEEPEST = 6


def listed(text: str, name: str, deeper: int, *, first: bool = False) -> str:
    """A post's text among others: its headings that much deeper, its anchors with its name, so that each is one.

    But for the first post's, pictures come when somebody gets to them: what is seen at once need not wait for them.
    """

    def among_others(tag: str) -> str:
        return _ID.sub(rf'\g<1>{name}-\2"', _HEADING.sub(lambda h: _heading(h, deeper), tag))

    if not first:
        text = _AT_ONCE.sub('<img loading="lazy"', text)
    return _in_tags(text, among_others, _CHANGED)


def absolute(text: str, base: str) -> str:
    """The same text with every link in full (RFC 3986): whoever reads a feed is not on the site."""

    def sizes(found: re.Match[str]) -> str:
        joined = (f"{_joined(base, one.split()[0])} {' '.join(one.split()[1:])}" for one in found[2].split(","))
        return f'{found[1]}{", ".join(joined)}"'

    def whole(tag: str) -> str:
        return _SRCSET.sub(sizes, _LINK.sub(lambda link: f'{link[1]}{_joined(base, link[2])}"', tag))

    return _in_tags(text, whole)


def _in_tags(text: str, change: Callable[[str], str], tags: re.Pattern[str] = _TAG) -> str:
    # What only looks like a tag, in an example of code say, is escaped and stays as it is.
    return tags.sub(lambda tag: change(tag[0]), text)


def _heading(found: re.Match[str], deeper: int) -> str:
    return f"{found[1]}{min(int(found[2]) + deeper, DEEPEST)}"


def _joined(base: str, link: str) -> str:
    return html.escape(urljoin(base, html.unescape(link)))
