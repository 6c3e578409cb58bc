"""The parser of comments: plain paragraphs are read here, everything else by Python-Markdown."""

import re
import threading

import markdown

# What is not a reader's: headings, rules, images, references, raw HTML.
NOT_OURS = {
    "preprocessors": ("html_block",),
    "blocks": ("hashheader", "setextheader", "hr", "reference"),
    "inline": ("image_link", "image_reference", "short_image_ref", "reference", "short_reference", "automail", "html"),
}
# How a line begins that is more than a part of a paragraph: a list, a quote.
_BLOCK = re.compile(r"(?:[*+-]|\d+\.) |>")
# Letters that mean nothing; of a link's place, too.
_LETTERS = r"[^`\\\[\]<>&*_\n\t\x02\x03]"
_PLACE = r"""[^`\\\[\]<>&*\s()'"\x02\x03]"""
# A link, emphasis, a sign that may stand for itself, and whatever else can mean something. Each begins with one certain
# letter, so that a text is searched for no more than these.
_MARKS = re.compile(
    rf"\[(?<!!\[)({_LETTERS}+)\]\(({_PLACE}+)\)"
    rf"|\*(\*?)((?=\S){_LETTERS}++(?<=\S))\*\3(?!\*)"
    r"|<[A-Za-z]|<|>|&[^\s&;]*+;|&"
    r"|`|\\|\[|\]|\*|_|\t|\x02|\x03"
)
_AS_TEXT = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}

_own = threading.local()


class _NotPlain(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """Only the library can read this text."""


def rough_html(text: str) -> str | None:
    """What Markdown makes of a text that was cleaned; None where it is deeper than anybody writes.

    Most comments are a few words with a link or an emphasis, and read at once. The law: as the library reads them.
    """
    try:
        return _paragraphs(text)
    except _NotPlain:
        return _markdown(text)


def _paragraphs(text: str) -> str:
    """The same of paragraphs with nothing in them but lines, links and emphasis. Raises _NotPlain."""
    if not text or "\n\n\n" in text or any(line != line.strip() or _BLOCK.match(line) for line in text.split("\n")):
        raise _NotPlain
    lines = _MARKS.sub(_element, text).replace("\n", "<br>\n")
    return "<p>" + lines.replace("<br>\n<br>\n", "</p>\n<p>") + "</p>"


def _element(mark: re.Match[str]) -> str:
    words, place, strong, stressed = mark.groups()
    if place:
        return f'<a href="{place}">{words}</a>'
    if stressed:
        return f"<strong>{stressed}</strong>" if strong else f"<em>{stressed}</em>"
    sign = _AS_TEXT.get(mark[0])
    if sign is None:
        raise _NotPlain
    return sign


def _markdown(text: str) -> str | None:
    # Not there while it reads: one that broke off stays in the middle of that, and would spoil every comment after.
    parser: markdown.Markdown = _own.__dict__.pop("parser", None) or make_parser()
    try:
        rough = parser.reset().convert(text)
    except RecursionError:
        return None
    _own.parser = parser
    return rough


def make_parser() -> markdown.Markdown:
    """The library's parser, without what is not a reader's."""
    parser = markdown.Markdown(extensions=["nl2br", "sane_lists"], output_format="html")
    for name in NOT_OURS["preprocessors"]:
        parser.preprocessors.deregister(name)
    for name in NOT_OURS["blocks"]:
        parser.parser.blockprocessors.deregister(name)
    for name in NOT_OURS["inline"]:
        parser.inlinePatterns.deregister(name)
    return parser
