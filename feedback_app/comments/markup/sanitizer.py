"""The one gate between a reader's text and HTML: a small, named subset of Markdown, then cleaned.

Paragraphs and line breaks, emphasis, code, quotes, lists and links to http and https. No images, no raw HTML, no
headings. Addresses are masked.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote

import nh3

from feedback_app.comments.markup.markdown_subset import rough_html
from feedback_app.patterns.address_patterns import TYPED_ADDRESS

RULES = 3
LONGEST_TEXT = 10_000
DEEPEST_QUOTE = 5
DEEPEST_INDENT = 12
DEEPEST_ENTITY = 5
MOST_PAIRED = 100

TAGS = {"p", "br", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
# In the path or query of a link an @ with a single word after it is part of that, as Flickr has it:
# https://www.flickr.com/photos/12345@N00/678. Not so where anything could make a domain of the word.
_SCHEME = re.compile(r"https?:\Z", re.IGNORECASE)
_PATH = re.compile(r"//[^/?#]+[/?].*", re.DOTALL)
_WORD = re.compile(r"""[\w-]+(?:[/?#&=]|\.?(?=[\s)>\],;"']|\Z)(?![\s)>\],;"']*\.\S))""")
ENTITY = re.compile(r"&(?:#\d{1,8}|#x[0-9a-f]{1,8}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
PLAIN_WORD = re.compile("<p>[0-9A-Za-z]")
MASKED = "…@…"
# What of ASCII cannot be shown.
_CONTROLS = bytes(code for code in (*range(32), 127) if code not in b"\t\n")
# Texts with nothing in them that a parser would have to make up its mind about, as most comments are.
_SIMPLE = re.compile(r"[^<>&\r\0\ufeff\ud800-\udfff]*+(?:<(?:/?(?:p|em|strong)|br)>[^<>&\r\0\ufeff\ud800-\udfff]*+)*+")
_SIMPLE_TAG = re.compile(r"<[^<>]*>")
# Letters by name, but nothing to see: Hangul fillers, the empty Braille pattern, and what joins letters.
UNSEEN = "\u034f\u115f\u1160\u3164\uffa0\u2800"


def has_address(text: str) -> bool:
    """Whether a text has something in it that reads as an address."""
    return _has_signs(text) and next(_addresses(_plain_letters(text)[0]), None) is not None


def without_addresses(text: str) -> str:
    """The same text with every address masked, and all else as it was typed."""
    if not _has_signs(text):
        return text
    plain, places = _plain_letters(text)
    kept, done = [], 0
    for start, end in _addresses(plain):
        # A letter of which only a part belongs to it goes with it.
        kept += [text[done : places[start]], MASKED]
        done = places[end - 1] + 1
    return "".join([*kept, text[done:]])


def _has_signs(text: str) -> bool:
    """Whether there may be an address: most texts have none of its signs, which takes less time to see.

    One of them is in every address, also as it stands in HTML that nh3 has cleaned, which leaves no entity but four.
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return "@" in plain or "%" in plain


def _plain_letters(text: str) -> tuple[str, Sequence[int]]:
    """A text in letters without disguise, with nothing where addresses are masked; and where each stands in it."""
    text = text.replace(MASKED, " " * len(MASKED))
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return text, range(len(text))
    # Each for itself: otherwise nobody could say what stood where.
    letters = [unicodedata.normalize("NFKC", letter) for letter in text]
    return "".join(letters), [place for place, plain in enumerate(letters) for _ in plain]


def _addresses(plain: str) -> Iterator[tuple[int, int]]:
    """Where addresses start and end."""
    place = 0
    while found := TYPED_ADDRESS.search(plain, place):
        if _is_part_of_a_link(plain, found):
            # There can be one in the rest of it.
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
    """Whether a comment, text and HTML, has an address in it, be it in disguise: in entities, in pieces, in a link."""
    return has_address(text) or MASKED in html


def is_visible(text: str) -> bool:
    """Whether there is anything to see in a text: blanks and invisible characters are not."""
    return any(unicodedata.category(letter)[0] in "LNPS" and letter not in UNSEEN for letter in text)


def clean_text(text: str) -> str:
    """What was typed, without what cannot be shown: NULs and controls, direction overrides, towers of accents."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and len(text.encode().translate(None, _CONTROLS)) == len(text):
        # Nothing that has to be taken out, as nearly always.
        return text.strip()
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
    # Entities first: what they hide is looked at like everything else.
    text = without_addresses(clean_text(_without_entities(text)))
    rough = rough_html(_shallow(text))
    if rough is None:
        return _plain(text)
    clean = _CLEANER.clean(rough)
    if not _has_signs(clean):
        return clean
    shown = visible_text(clean)
    # Emphasis in its middle can put an address together only now.
    if has_address(shown) or any(has_address(unquote(link)) for link in re.findall(r'href="([^"]*)"', clean)):
        return _plain(without_addresses(unquote(shown)))
    return clean


def says_anything(clean: str) -> bool:
    """Whether there is anything to see in a comment's HTML."""
    # The first letter of its first words, as nearly always; what may be an entity is looked at closely.
    return PLAIN_WORD.match(clean) is not None or is_visible(visible_text(clean))


def visible_text(clean: str) -> str:
    """What of a comment's HTML is to be seen."""
    if _SIMPLE.fullmatch(clean):
        return _SIMPLE_TAG.sub("", clean).strip()
    return html.unescape(nh3.clean(clean, tags=set())).strip()


def _attribute(_tag: str, name: str, value: str) -> str | None:
    # A link within the site could be made to look like the shop's own: a form, an unsubscribe page. A list may begin
    # with any number.
    good = r"https?://\S+" if name == "href" else r"[0-9]{1,9}"
    return value if name == "rel" or re.fullmatch(good, value, re.IGNORECASE) else None


_CLEANER = nh3.Cleaner(
    tags=TAGS,
    # Only these: without the star, `title` and `lang` are let through everywhere.
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
    # Wrapped deeper than anybody writes: taken literally.
    return text.replace("&", "&amp;")


def _plain(text: str) -> str:
    return f"<p>{html.escape(text, quote=False)}</p>".replace("\n", "<br>\n")


def _shallow(text: str) -> str:
    """The same text with quotes, indents, brackets and backticks within reason: depth is what makes parsers slow."""
    for sign in "[`":
        if text.count(sign) > MOST_PAIRED:
            # Nobody writes a hundred links, or pieces of code; a parser looks for the other end of each.
            text = text.replace(sign, f"&#{ord(sign)};")
    lines = []
    for line in text.split("\n"):
        quote = re.match(r"(?:[ \t]*>)+", line)
        if quote and quote.group().count(">") > DEEPEST_QUOTE:
            line = "> " * DEEPEST_QUOTE + line[quote.end() :].lstrip()  # noqa: PLW2901 - the same line, mended
        indent = len(line) - len(line.lstrip(" \t"))
        lines.append(line if indent <= DEEPEST_INDENT else " " * DEEPEST_INDENT + line.lstrip(" \t"))
    return "\n".join(lines)
