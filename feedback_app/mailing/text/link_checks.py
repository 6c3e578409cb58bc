"""Finds links in a mailing's text that would lead nowhere, before anything is sent."""

import re
from html import unescape
from urllib.parse import urlsplit

# Code has no links: text between backticks within a paragraph, and indented lines.
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)((?:(?!\n[ \t]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_INDENTED = re.compile(r"^(?: {4}|\t).*", re.MULTILINE)
# A sign that is meant literally: escaped, or as an entity.
_LITERAL = re.compile(r"\\[\\\[\]()!]|&#?\w+;")
LITERAL = "\ue004"
_LINK = re.compile(r"\[([^\[\]]*+)\]\(\s*+<?([^)\s>]*+)[^)]*+\)")
_BARE = re.compile(r"<((?:https?:|www\.)[^\s<>]*)>")
_PLAIN_HTML = re.compile(r"<(pre|code)\b.*?</\1>|<a\b.*?</a>", re.DOTALL)
_INLINE_TAG = re.compile(r"</?(?:em|strong|img|br)\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
# Words in brackets within one paragraph, which may contain brackets, and the beginning of a link's target after them.
_BROKEN_LINK = re.compile(r"\[((?:[^\[\]\f]|\[[^\[\]\f]*\])*)\](?:\(|\[([^\[\]\f]*)\])")
# Signs after a link in plain text that mail programs take for a part of it.
_RUNS_ON = re.compile("\ue000((?:preferences|unsubscribe)_link)\ue001[-._~:/?#@!$&*+,;=%|]*[\\w/\ue000]")


def without_code(body: str) -> str:
    """Return a text without what Markdown shows as code, and with its literal signs replaced. Lines are kept."""
    body = _CODE.sub(lambda match: "\n" * match.group().count("\n"), body)
    return without_literal_signs(_INDENTED.sub("", body))


def without_literal_signs(body: str) -> str:
    """Return a text in which escaped brackets are replaced by a stand-in."""
    return _LITERAL.sub(LITERAL, body)


def links_in(line: str) -> list[tuple[str, str]]:
    """Return the links in a line, as words and target. The words of a target in angle brackets are the target."""
    found = [*_LINK.findall(line), *((link, link) for link in _BARE.findall(line))]
    return [(words.replace(LITERAL, "…"), link) for words, link in found]


def find_broken_link(html: str) -> tuple[str, str | None] | None:
    """Return the words and the reference of the first link that Markdown did not recognize; None if there is none.

    The HTML must be made from a text without literal signs.
    """
    # Brackets in code and in recognized links begin and end no other link.
    shown = _TAG.sub("\f", _INLINE_TAG.sub("", _PLAIN_HTML.sub("…", html)))
    for match in _BROKEN_LINK.finditer(shown):
        words, reference = match.groups()
        if words.strip() or reference is None or reference.strip():
            words = unescape(" ".join(words.split())).replace(LITERAL, "…")
            return words, None if reference is None else reference or words
    return None


def find_link_that_runs_on(text: str) -> str | None:
    """Return the name of the first link placeholder that runs on into the letters after it; None if none does."""
    match = _RUNS_ON.search(text)
    return match.group(1) if match else None


def is_web_link(link: str) -> bool:
    """Return whether a link is http or https and has a possible host."""
    try:
        parts = urlsplit(link)
        host, _ = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return False
    whole = parts.netloc.rpartition("@")[2].startswith("[") or all(host.split("."))
    return parts.scheme in {"http", "https"} and bool(host) and whole and not re.search(r"\s", parts.netloc)
