"""The Markdown of comments: Python-Markdown without headings, rules, images, references and raw HTML."""

import threading

import markdown

NOT_FOR_READERS = {
    "preprocessors": ("html_block",),
    "blocks": ("hashheader", "setextheader", "hr", "reference"),
    "inline": ("image_link", "image_reference", "short_image_ref", "reference", "short_reference", "automail", "html"),
}

_parsers = threading.local()


def markdown_html(text: str) -> str | None:
    """Return the HTML of a cleaned text, not yet sanitized; None where it is nested deeper than anybody writes."""
    # Taken away while it is in use: a parser that broke off half-way would spoil every later comment.
    parser: markdown.Markdown = _parsers.__dict__.pop("parser", None) or make_parser()
    try:
        html = parser.reset().convert(text)
    except RecursionError:
        return None
    _parsers.parser = parser
    return html


def make_parser() -> markdown.Markdown:
    """Make a parser that knows only what readers may use."""
    parser = markdown.Markdown(extensions=["nl2br", "sane_lists"], output_format="html")
    for name in NOT_FOR_READERS["preprocessors"]:
        parser.preprocessors.deregister(name)
    for name in NOT_FOR_READERS["blocks"]:
        parser.parser.blockprocessors.deregister(name)
    for name in NOT_FOR_READERS["inline"]:
        parser.inlinePatterns.deregister(name)
    return parser
