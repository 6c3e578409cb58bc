"""The one gate between a reader's text and HTML: a small, named subset of Markdown, then cleaned.

Paragraphs and line breaks, emphasis, code, quotes, lists and links to http and https. No images, no raw HTML, no
headings. Addresses are masked.
"""

import re
import threading
import unicodedata
from functools import lru_cache

import markdown
import nh3

RULES = 1
LONGEST_TEXT = 10_000
DEEPEST_QUOTE = 5
DEEPEST_INDENT = 12
MOST_BRACKETS = 100

TAGS = {"p", "br", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
NOT_OURS = {
    "preprocessors": ("html_block",),
    "blocks": ("hashheader", "setextheader", "hr", "reference"),
    "inline": ("image_link", "image_reference", "short_image_ref", "reference", "short_reference", "automail", "html"),
}
ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"'`*]+@(?=[^\s@])[^\s@<>()\[\],;:\"'`*]+")
MASKED = "…@…"

_own = threading.local()


def has_address(text: str) -> bool:
    """Whether a text has something in it that reads as an address."""
    return ADDRESS.search(unicodedata.normalize("NFKC", text)) is not None


def clean_text(text: str) -> str:
    """What was typed, without what cannot be shown: NULs and controls, direction overrides, towers of accents."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = (
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs", "Co", "Cn"}
    )
    text = re.sub("[\u202a-\u202e\u2066-\u2069]", "", "".join(kept))
    return re.sub(
        r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u20d0-\u20ff]+",
        r"\1",
        text,
    ).strip()


@lru_cache(maxsize=1024)
def comment_html(text: str) -> str:
    """A comment's text as HTML that is safe to print. Bounded in depth and in time."""
    text = _shallow(text)
    if has_address(text):
        text = ADDRESS.sub(MASKED, unicodedata.normalize("NFKC", text))
    try:
        rough = _parser().reset().convert(text)
    except RecursionError:
        rough = f"<p>{nh3.clean_text(text)}</p>"
    return nh3.clean(
        rough,
        tags=TAGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https"},
        link_rel="nofollow ugc noopener",
    )


def _shallow(text: str) -> str:
    """The same text with quotes, indents and brackets within reason: depth is what makes parsers slow."""
    if text.count("[") > MOST_BRACKETS:
        # Nobody writes a hundred links; a parser looks for the other end of each bracket.
        text = text.replace("[", "&#91;")
    lines = []
    for line in text.split("\n"):
        quote = re.match(r"(?:[ \t]*>)+", line)
        if quote and quote.group().count(">") > DEEPEST_QUOTE:
            line = "> " * DEEPEST_QUOTE + line[quote.end() :].lstrip()  # noqa: PLW2901 - the same line, mended
        indent = len(line) - len(line.lstrip(" \t"))
        lines.append(line if indent <= DEEPEST_INDENT else " " * DEEPEST_INDENT + line.lstrip(" \t"))
    return "\n".join(lines)


def _parser() -> markdown.Markdown:
    parser: markdown.Markdown | None = getattr(_own, "parser", None)
    if parser is None:
        parser = markdown.Markdown(extensions=["nl2br", "sane_lists"], output_format="html")
        for name in NOT_OURS["preprocessors"]:
            parser.preprocessors.deregister(name)
        for name in NOT_OURS["blocks"]:
            parser.parser.blockprocessors.deregister(name)
        for name in NOT_OURS["inline"]:
            parser.inlinePatterns.deregister(name)
        _own.parser = parser
    return parser
