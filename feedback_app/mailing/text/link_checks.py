"""Links of a mailing's text that would not lead anywhere: found before anybody gets them."""

import re
from html import unescape
from urllib.parse import urlsplit

# Code shows what it has, and has no links: between backticks, within a paragraph, and in lines that are indented.
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)((?:(?!\n[ \t]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_INDENTED = re.compile(r"^(?: {4}|\t).*", re.MULTILINE)
# What stands for a sign that is meant as it is: escaped, or as an entity.
_MEANT = re.compile(r"\\[\\\[\]()!]|&#?\w+;")
MEANT = "\ue004"
_LINK = re.compile(r"\[([^\[\]]*+)\]\(\s*+<?([^)\s>]*+)[^)]*+\)")
_BARE = re.compile(r"<((?:https?:|www\.)[^\s<>]*)>")
_PLAIN_HTML = re.compile(r"<(pre|code)\b.*?</\1>|<a\b.*?</a>", re.DOTALL)
_INLINE_TAG = re.compile(r"</?(?:em|strong|img|br)\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
# Words of one paragraph in brackets, which may have brackets in them, and a target's beginning right behind them.
_LEFT_OVER = re.compile(r"\[((?:[^\[\]\f]|\[[^\[\]\f]*\])*)\](?:\(|\[([^\[\]\f]*)\])")
# What mail programs take for more of a link that stands in a text.
_MORE_OF_IT = re.compile("\ue000((?:preferences|unsubscribe)_link)\ue001[-._~:/?#@!$&*+,;=%|]*[\\w/\ue000]")


def without_code(body: str) -> str:
    """A text's lines, without what Markdown shows as code and with another sign for each that is escaped."""
    body = _CODE.sub(lambda match: "\n" * match.group().count("\n"), body)
    return meant(_INDENTED.sub("", body))


def meant(body: str) -> str:
    """A text in which brackets that are escaped are none."""
    return _MEANT.sub(MEANT, body)


def written(line: str) -> list[tuple[str, str]]:
    """The links of a line, as words and target; a target in angle brackets is its own words."""
    found = [*_LINK.findall(line), *((link, link) for link in _BARE.findall(line))]
    return [(words.replace(MEANT, "…"), link) for words, link in found]


def left_over(html: str) -> tuple[str, str | None] | None:
    """The first link that Markdown made none of, of a text of which `meant` was asked: its words, and its reference."""
    # Code and links that are good end no brackets, and begin none.
    shown = _TAG.sub("\f", _INLINE_TAG.sub("", _PLAIN_HTML.sub("…", html)))
    for match in _LEFT_OVER.finditer(shown):
        words, reference = match.groups()
        if words.strip() or reference is None or reference.strip():
            words = unescape(" ".join(words.split())).replace(MEANT, "…")
            return words, None if reference is None else reference or words
    return None


def runs_on(text: str) -> str | None:
    """The name of the first link of the reader's own that goes on with letters which are none of it."""
    match = _MORE_OF_IT.search(text)
    return match.group(1) if match else None


def good(link: str) -> bool:
    """Whether a link has a scheme that letters have, and a host that can be one."""
    try:
        parts = urlsplit(link)
        host, _ = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return False
    whole = parts.netloc.rpartition("@")[2].startswith("[") or all(host.split("."))
    return parts.scheme in {"http", "https"} and bool(host) and whole and not re.search(r"\s", parts.netloc)
