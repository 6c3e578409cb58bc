"""HTML of other systems as Markdown: a comment's in the subset that comments have, a post's with all that posts have.

Cleaned first, by the same allow-list library that cleans what readers write here: what a browser would run is gone
before anything is converted. What comes out goes through the same gate as everything that is typed.
"""

import html
import re
from typing import Any

import nh3
from markdownify import MarkdownConverter

from feedback_app.comments.markup.sanitizer import TAGS, clean_text, visible_text
from feedback_app.moving.formats.records import BodyKind

LONGEST_BODY = 100_000
LONGEST_POST = 2_000_000
# More tags than anybody's comment has: what nests that deep takes a parser long, and its words are enough.
MOST_TAGS = 1_000
# Comments have no headings and no tables; their words stay.
COMMENT_TAGS = TAGS | {"b", "i", "div", "del", "strike"}
POST_TAGS = COMMENT_TAGS | {
    *("h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "figure", "figcaption", "sub", "sup", "q", "dl", "dt", "dd"),
    *("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "span", "section", "article"),
}
# What does not survive in a post, by the beginning of its tag.
EMBEDDED = re.compile(r"<(script|style|iframe|object|embed|form|video|audio|svg|canvas)\b", re.IGNORECASE)
# What Markdown would take for its own sign, and takes back with a backslash before it.
_SIGNS = re.compile(r"([\\`*_\[\]])")
_STARTS = re.compile(r"(?m)^(\s*)([#>+-]|\d{1,9}\.)(?=\s|$|>|#)")
_NOT_HTML = re.compile(r"[&<]")
_BLOCK = re.compile(r"<(?:p|br|div|blockquote|ul|ol|pre)\b", re.IGNORECASE)


class _Converter(MarkdownConverter):
    """Markdown as Python-Markdown reads it: it takes back fewer signs than others do."""

    def escape(self, text: str, parent_tags: set[str]) -> str:  # noqa: ARG002 - the base's signature
        """A text in which nothing is a sign."""
        return _STARTS.sub(_escaped_start, _SIGNS.sub(r"\\\1", text))


class _PostConverter(_Converter):
    """The same for posts, in which HTML would be HTML and `[[First Last]]` would be masked."""

    def escape(self, text: str, parent_tags: set[str]) -> str:
        """A text in which nothing is a sign, HTML neither."""
        text = _NOT_HTML.sub(lambda found: "&amp;" if found[0] == "&" else "&lt;", super().escape(text, parent_tags))
        return text.replace("\\[\\[", "&#91;&#91;")


def _escaped_start(found: "re.Match[str]") -> str:
    sign = found[2]
    return f"{found[1]}{sign[:-1]}\\{sign[-1]}"


_SHARED: dict[str, Any] = {"heading_style": "atx", "bullets": "-", "wrap": True, "wrap_width": None}


def comment_text(body: str, kind: BodyKind) -> str:
    """A comment's words in the comments' own Markdown, whatever they were written in."""
    if kind is BodyKind.MARKDOWN:
        return clean_text(body)
    if kind is BodyKind.LINES and not _BLOCK.search(body):
        body = body.replace("\r\n", "\n").strip().replace("\n\n", "<p>").replace("\n", "<br>")
    if body.count("<") > MOST_TAGS:
        return clean_text(html.unescape(re.sub(r"<[^<>]*>", " ", body)))
    clean = nh3.clean(body, tags=COMMENT_TAGS, attributes={"a": {"href"}, "*": set()}, link_rel=None)
    try:
        text = _Converter(**_SHARED).convert(clean)
    except RecursionError:
        # Nobody wrote this by hand: its words are enough.
        text = visible_text(clean)
    return clean_text(text)


def post_text(body: str, *, lines: bool) -> str:
    """A post's words in Markdown. `lines`: a line break is one (WordPress before blocks)."""
    if lines:
        # Where a blank line parts two paragraphs, and nothing else says so.
        body = re.sub(r"\n[ \t]*\n", "\n<p>", re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL))
    clean = nh3.clean(
        body,
        tags=POST_TAGS,
        clean_content_tags={"script", "style"},
        attributes={"a": {"href", "title"}, "img": {"src", "alt", "title"}, "*": set()},
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
    )
    try:
        return str(_PostConverter(**_SHARED).convert(clean)).strip()
    except RecursionError:
        return visible_text(clean)


def summary_text(body: str) -> str:
    """A summary's words, without whatever dresses them."""
    return clean_text(visible_text(body))
