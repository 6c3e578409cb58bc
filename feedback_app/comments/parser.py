"""The parser of comments: Python-Markdown without what is not a reader's, and asked only for what can be in a text."""

import re
import threading
from typing import Any, cast
from xml.etree.ElementTree import Element

import markdown
from markdown.inlinepatterns import DelimiterProcessor, LinkInlineProcessor
from markdown.treeprocessors import InlineProcessor
from markdown.util import Registry

NOT_OURS = {
    "preprocessors": ("normalize_whitespace", "html_block"),
    "blocks": ("hashheader", "setextheader", "hr", "reference"),
    "inline": ("image_link", "image_reference", "short_image_ref", "reference", "short_reference", "automail", "html"),
}
# What each of these needs that are left: one of these letters. Lists, code and paragraphs can begin with too many.
SIGNS_OF = {
    "blocks": {"quote": ">"},
    "inline": {
        "backtick": "`",
        "escape": "\\",
        "link": "[",
        "autolink": "<",
        "entity": "&",
        "em_strong": "*_",
        "linebreak": "\n",
        "nl": "\n",
    },
}
ALL_SIGNS = "".join(sorted({letter for signs in SIGNS_OF.values() for sign in signs.values() for letter in sign}))
# In each thread. There are more ways to write than that, but few people write in the others.
MOST_PARSERS = 40
# Where a link may start: the library's own, said so that the letters before a bracket are not even looked at.
_LINK_START = r"\[(?<!!\[)"
# Links and emphasis with nothing in them that would have to be paired or put back; of links what follows the start.
_PLAIN_EMPHASIS = re.compile(r"(\*\*?)([^\s*_](?:[^*_]*[^\s*_])?)\1(?!\*)")
_PLAIN_LINK = re.compile(r"""([^\[\]]*)\]\(([^\s()<>'"\x02\x03]+)\)""")
# What a line of nothing but blanks has too much.
_BLANKS = re.compile(r"\n +(?=\n)")
# Where links and emphasis stand among the others, as the library has them.
_PRIORITIES = {"link": 160, "em_strong": 60}

_own = threading.local()


def rough_html(text: str) -> str | None:
    """What Markdown makes of a text; None where it is deeper than anybody writes.

    One parser is kept for each set of signs: what looks for a sign that is not in a text is not even asked.
    """
    parsers: dict[str, markdown.Markdown] = _own.__dict__.setdefault("parsers", {})
    signs = "".join([letter for letter in ALL_SIGNS if letter in text])
    parser = parsers.pop(signs, None) or _make_parser(signs)
    try:
        rough = parser.reset().convert(_BLANKS.sub("\n", text.expandtabs(parser.tab_length)) + "\n\n")
    except RecursionError:
        return None
    # Only now: one that broke off stays in the middle of what it was reading, and would spoil every comment after.
    parsers[signs] = parser
    if len(parsers) > MOST_PARSERS:
        # The one that was used least lately.
        del parsers[next(iter(parsers))]
    return rough


class _Links(LinkInlineProcessor):
    """The library's links, which it reads letter by letter; most are plain, and seen at once."""

    def handleMatch(  # type: ignore[override]  # noqa: N802 - the base's name; its types are its own base's
        self, m: re.Match[str], data: str
    ) -> tuple[Element | str | None, int | None, int | None]:
        plain = _PLAIN_LINK.match(data, m.end())
        if plain is None:
            return super().handleMatch(m, data)
        link = Element("a", {"href": plain[2]})
        link.text = plain[1]
        return link, m.start(), plain.end()


class _Emphasis(DelimiterProcessor):
    """The library's emphasis, which pairs its marks with care; most are plain, and seen at once, too."""

    def handleMatch(  # type: ignore[override]  # noqa: N802 - as above
        self, m: re.Match[str], data: str
    ) -> tuple[Element | str | None, int | None, int | None]:
        # Not where some were paired already, and are still to be given out.
        plain = None if self.regions else _PLAIN_EMPHASIS.match(data, m.start())
        if plain is None:
            return super().handleMatch(m, data)
        words = Element("em" if len(plain[1]) == 1 else "strong")
        words.text = plain[2]
        return words, m.start(), plain.end()


def _make_parser(signs: str) -> markdown.Markdown:
    parser = markdown.Markdown(extensions=["nl2br", "sane_lists"], output_format="html")
    kinds: dict[str, Registry[Any]] = {
        "preprocessors": parser.preprocessors,
        "blocks": parser.parser.blockprocessors,
        "inline": parser.inlinePatterns,
    }
    for kind, registry in kinds.items():
        needless = [name for name, sign in SIGNS_OF.get(kind, {}).items() if not set(sign) & set(signs)]
        for name in (*NOT_OURS[kind], *needless):
            registry.deregister(name)
    if "\\" not in signs:
        # Nothing was escaped that would have to be put back.
        parser.treeprocessors.deregister("unescape")
    if "link" in parser.inlinePatterns:
        parser.inlinePatterns.register(_Links(_LINK_START, parser), "link", _PRIORITIES["link"])
    if "em_strong" in parser.inlinePatterns:
        emphasis = _Emphasis("*", "strong,em", parser)
        emphasis.add("_", "strong,em", smart=True)
        parser.inlinePatterns.register(emphasis, "em_strong", _PRIORITIES["em_strong"])
    # All of them are there now: a registry would look for each, again and again, whether its order still holds.
    inline = cast("InlineProcessor", parser.treeprocessors["inline"])
    inline.inlinePatterns = list(parser.inlinePatterns)  # type: ignore[assignment]  # is asked for no more than a list has
    return parser
