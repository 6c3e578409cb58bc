"""Turns a letter's HTML into plain text: the same words in the same order, with their links."""

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import takewhile
from urllib.parse import unquote

# Quotes and lists that are nested more deeply are not indented further.
DEEPEST = 12
RULE = "-" * 20
_UNDERLINES = {"h1": "=", "h2": "-"}
_HEADINGS = {"h1", "h2", "h3"}
_LISTS = {"ul", "ol"}
# Elements that begin and end a paragraph.
_BLOCKS = {"p", "pre", "blockquote", "table", "thead", "tbody", "tr", "li"} | _HEADINGS | _LISTS
_CELLS = {"td", "th"}
# Marks the end of a table cell until its row is complete.
_NEXT_CELL = "\x1f"
# What may follow a link directly: mail programs don't take it for a part of the link.
_APART_FROM_LINK = re.compile(r"""[.,;:!?)\]>"'”’…]*(?:\s|$)""")  # noqa: RUF001 - the quotes that Markdown makes
_BETWEEN_CELLS = " · "


def plain_text(html: str) -> str:
    """Return the text of clean HTML, such as `nh3` makes: every tag is closed properly."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


@dataclass(eq=False, slots=True)
class _Margin:
    """The prefix of the lines of a quote or a list item."""

    first: str
    rest: str

    def next(self) -> str:
        """Return the prefix of the next line."""
        margin, self.first = self.first, self.rest
        return margin


class _Reader(HTMLParser):
    """Collects words and writes lines. Nothing here is recursive, so deep nesting does no harm."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = []
        # The words of the paragraph that is being read.
        self._words = ""
        self._after_break = False
        self._preformatted = False
        # The open margins, those of the line before, and how many more are too deep to be shown.
        self._margins: list[_Margin] = []
        self._before: list[_Margin] = []
        self._too_deep = 0
        # For each open list the number of its next item, or None for a bulleted list.
        self._numbers: list[int | None] = []
        self._tables = 0
        # Whether an empty line comes before the next line.
        self._apart = False
        self._link = ""
        self._link_words = ""
        # Whether the words end with a bare link: words that follow directly would become part of it.
        self._after_link = False

    def text(self) -> str:
        """Return all lines."""
        self._end_paragraph()
        return "\n".join([*self._lines, ""])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Handle an opening tag. In a table, only rows are lines of their own."""
        if tag in _CELLS or (self._tables and tag in _BLOCKS - {"tr"}):
            self._take(" ")
        elif tag in _BLOCKS:
            self._end_paragraph()
            self._begin(tag)
        elif tag == "br":
            self._break()
        elif tag == "hr" and not self._tables:
            self._end_paragraph(apart=True)
            self._put([RULE])
            self._apart = True
        elif tag == "img":
            alt = dict(attrs).get("alt")
            self._take(f"[{alt}]" if alt else "")
        elif tag == "a":
            self._link, self._link_words = dict(attrs).get("href") or "", ""
        self._tables += tag == "table"

    def handle_endtag(self, tag: str) -> None:
        """Handle a closing tag."""
        self._tables -= tag == "table"
        if tag in _CELLS:
            self._words += _NEXT_CELL
        elif self._tables and tag in _BLOCKS - {"tr"}:
            self._take(" ")
        elif tag in _BLOCKS:
            self._end_paragraph(tag)
            self._end(tag)
        elif tag == "a":
            self._end_link()

    def handle_data(self, data: str) -> None:
        """Handle words."""
        self._take(data)

    def _take(self, words: str) -> None:
        if self._after_break and not self._preformatted:
            # After <br>, the line break of the file says nothing new.
            words = words.lstrip(" \t\n")
        elif self._after_link and not _APART_FROM_LINK.match(words):
            words = f" {words}"
        self._after_break &= not words
        self._after_link &= not words
        self._words += words
        self._link_words += words

    def _break(self) -> None:
        if not self._after_break and not self._preformatted:
            self._words = self._words.rstrip(" \t\n")
        self._words += "\n"
        self._after_break = True

    def _end_link(self) -> None:
        words, link, self._link = _line(self._link_words), self._link.replace(" ", "%20"), ""
        if link and words and words not in {link, unquote(link)}:
            self._take(f" ({link})")
        elif link:
            self._take("" if words else f" {link}")
            self._after_link = True

    def _begin(self, tag: str) -> None:
        if tag == "blockquote":
            self._indent("> ", "> ")
        elif tag == "li":
            number = self._numbers[-1] if self._numbers else None
            marker = "- " if number is None else f"{number}. "
            if number is not None:
                self._numbers[-1] = number + 1
            self._indent(marker, " " * len(marker))
        elif tag in _LISTS:
            self._numbers.append(1 if tag == "ol" else None)
        # No empty line comes before a list within an item.
        self._apart |= tag not in {"li", "tr", "thead", "tbody"} and not (tag in _LISTS and len(self._numbers) > 1)
        self._preformatted = tag == "pre"

    def _end(self, tag: str) -> None:
        if tag == "li" and not self._too_deep and self._margins[-1].first != self._margins[-1].rest:
            # An empty item is still an item.
            self._put([""])
        if tag in {"blockquote", "li"}:
            if self._too_deep:
                self._too_deep -= 1
            else:
                self._margins.pop()
        elif tag in _LISTS:
            self._numbers.pop()
        self._apart |= tag not in {"li", "tr", "thead", "tbody"} and not (tag in _LISTS and self._numbers)
        self._preformatted &= tag != "pre"

    def _indent(self, first: str, rest: str) -> None:
        if len(self._margins) < DEEPEST:
            self._margins.append(_Margin(first, rest))
        else:
            self._too_deep += 1

    def _end_paragraph(self, tag: str = "", *, apart: bool = False) -> None:
        words, self._words, self._after_break, self._after_link = self._words, "", False, False
        if self._preformatted:
            lines = words.strip("\n").split("\n")
        elif tag == "tr":
            # The last piece is what follows the last cell's end: nothing.
            lines = [_BETWEEN_CELLS.join(_line(cell) for cell in words.split(_NEXT_CELL)[:-1])]
        elif tag in _HEADINGS:
            lines = [_line(words)]
        else:
            lines = [_line(line) for line in words.strip(" \t\n").split("\n")]
        if any(lines):
            self._put([*lines, _UNDERLINES[tag] * min(max(len(lines[0]), 3), 60)] if tag in _UNDERLINES else lines)
        self._apart |= apart

    def _put(self, lines: list[str]) -> None:
        if self._apart and self._lines:
            both = takewhile(lambda pair: pair[0] is pair[1], zip(self._before, self._margins, strict=False))
            self._lines.append("".join(margin.rest for margin, _ in both).rstrip())
        self._apart = False
        for line in lines:
            self._lines.append(("".join(margin.next() for margin in self._margins) + line).rstrip())
        self._before = [*self._margins]


def _line(words: str) -> str:
    """Return words on one line with single blanks, as HTML shows them."""
    return re.sub(r"[ \t\n]+", " ", words).strip(" ")
