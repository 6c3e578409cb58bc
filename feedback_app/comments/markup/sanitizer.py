"""The sanitizer between a reader's text and HTML: a small subset of Markdown, then an allow list of tags.

Paragraphs and line breaks, emphasis, code, quotes, lists and links to http and https. No images, no raw HTML, no
headings. E-mail addresses are masked.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote

import nh3

from feedback_app.comments.markup.markdown_subset import markdown_html
from feedback_app.patterns.address_patterns import TYPED_ADDRESS

RULES = 3
LONGEST_TEXT = 10_000
DEEPEST_QUOTE = 5
DEEPEST_INDENT = 12
DEEPEST_ENTITY = 5
MOST_PAIRED = 100

TAGS = {"p", "br", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
# In the path or query of a link an @ before a single word belongs to the link, as on Flickr:
# https://www.flickr.com/photos/12345@N00/678. It does not if the word could be read as a domain.
_SCHEME = re.compile(r"https?:\Z", re.IGNORECASE)
_PATH = re.compile(r"//[^/?#]+[/?].*", re.DOTALL)
_WORD = re.compile(r"""[\w-]+(?:[/?#&=]|\.?(?=[\s)>\],;"']|\Z)(?![\s)>\],;"']*\.\S))""")
ENTITY = re.compile(r"&(?:#\d{1,8}|#x[0-9a-f]{1,8}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
MASKED = "…@…"
# Letters by their category, but invisible: Hangul fillers, the empty Braille pattern, the grapheme joiner.
UNSEEN = "\u034f\u115f\u1160\u3164\uffa0\u2800"


def has_address(text: str) -> bool:
    """Return whether a text contains something that reads as an address."""
    return _may_have_address(text) and next(_addresses(_plain_letters(text)[0]), None) is not None


def without_addresses(text: str) -> str:
    """Return a text with every address masked, and all else as it was typed."""
    if not _may_have_address(text):
        return text
    plain, places = _plain_letters(text)
    kept, done = [], 0
    for start, end in _addresses(plain):
        # A character that only partly belongs to the address is masked with it.
        kept += [text[done : places[start]], MASKED]
        done = places[end - 1] + 1
    return "".join([*kept, text[done:]])


def _may_have_address(text: str) -> bool:
    """Return whether a text has a sign that every address has, also in HTML cleaned by nh3."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return "@" in plain or "%" in plain


def _plain_letters(text: str) -> tuple[str, Sequence[int]]:
    """Return a text in NFKC, with blanks where addresses are masked, and each letter's position in the original."""
    text = text.replace(MASKED, " " * len(MASKED))
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return text, range(len(text))
    # Letter by letter: otherwise the positions in the original would be lost.
    letters = [unicodedata.normalize("NFKC", letter) for letter in text]
    return "".join(letters), [place for place, plain in enumerate(letters) for _ in plain]


def _addresses(plain: str) -> Iterator[tuple[int, int]]:
    """Yield where each address starts and ends."""
    place = 0
    while found := TYPED_ADDRESS.search(plain, place):
        if _is_part_of_a_link(plain, found):
            # The rest of the link may contain an address.
            place = found.end("at")
        else:
            yield found.span()
            place = found.end()


def _is_part_of_a_link(plain: str, found: re.Match[str]) -> bool:
    start, at = found.start(), found.start("at")
    return (
        _SCHEME.search(plain[max(0, start - len("https:")) : start]) is not None
        and _PATH.fullmatch(plain, start, at) is not None
        and _WORD.match(plain, found.end("at")) is not None
    )


def shows_address(text: str, html: str) -> bool:
    """Return whether a comment contains an address, also if it hides in entities, in pieces or in a link."""
    return has_address(text) or MASKED in html


def is_visible(text: str) -> bool:
    """Return whether a text shows anything: blanks and invisible characters do not."""
    return any(unicodedata.category(letter)[0] in "LNPS" and letter not in UNSEEN for letter in text)


def clean_text(text: str) -> str:
    """Remove what cannot be shown: NUL and control characters, direction overrides, towers of accents."""
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
    """Return a comment's text as HTML that is safe to print. Bounded in depth and in time."""
    # Entities first: what they hide is checked like everything else.
    text = without_addresses(clean_text(_without_entities(text)))
    rough = markdown_html(_shallow(text))
    if rough is None:
        return _plain(text)
    clean = _CLEANER.clean(rough)
    if not _may_have_address(clean):
        return clean
    shown = visible_text(clean)
    # Only now can emphasis inside an address put it together.
    if has_address(shown) or any(has_address(unquote(link)) for link in re.findall(r'href="([^"]*)"', clean)):
        return _plain(without_addresses(unquote(shown)))
    return clean


def says_anything(clean: str) -> bool:
    """Return whether a comment's HTML shows anything."""
    return is_visible(visible_text(clean))


def visible_text(clean: str) -> str:
    """Return the text that a comment's HTML shows."""
    return html.unescape(nh3.clean(clean, tags=set())).strip()


def _attribute(_tag: str, name: str, value: str) -> str | None:
    # No relative links: they could be made to look like the shop's own pages, such as a form or an unsubscribe page. A
    # list may begin with any number.
    good = r"https?://\S+" if name == "href" else r"[0-9]{1,9}"
    return value if name == "rel" or re.fullmatch(good, value, re.IGNORECASE) else None


_CLEANER = nh3.Cleaner(
    tags=TAGS,
    # The star is needed: without it nh3 lets `title` and `lang` through on every tag.
    attributes={"a": {"href"}, "ol": {"start"}, "*": set()},
    attribute_filter=_attribute,
    url_schemes={"http", "https"},
    link_rel="nofollow ugc noopener",
)


def _without_entities(text: str) -> str:
    if "&" not in text:
        return text
    for _ in range(DEEPEST_ENTITY):
        plain = ENTITY.sub(lambda found: html.unescape(found[0]), text)
        if plain == text:
            return plain
        text = plain
    # Wrapped more often than anybody writes: taken literally.
    return text.replace("&", "&amp;")


def _plain(text: str) -> str:
    return f"<p>{html.escape(text, quote=False)}</p>".replace("\n", "<br>\n")


def _shallow(text: str) -> str:
    """Limit the depth of quotes and indents, and the number of brackets and backticks: they make parsers slow."""
    for sign in "[`":
        if text.count(sign) > MOST_PAIRED:
            # A parser searches for the other end of each, and no reader writes a hundred links or pieces of code.
            text = text.replace(sign, f"&#{ord(sign)};")
    lines = []
    for line in text.split("\n"):
        quote = re.match(r"(?:[ \t]*>)+", line)
        if quote and quote.group().count(">") > DEEPEST_QUOTE:
            line = "> " * DEEPEST_QUOTE + line[quote.end() :].lstrip()  # noqa: PLW2901 - the same line, mended
        indent = len(line) - len(line.lstrip(" \t"))
        lines.append(line if indent <= DEEPEST_INDENT else " " * DEEPEST_INDENT + line.lstrip(" \t"))
    return "\n".join(lines)
