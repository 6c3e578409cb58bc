"""Python-Markdown as it is, without looking for what a text can't have in it.

Markdown tries each of some thirty patterns on every piece of text. Nearly all of them begin with a sign that most
texts don't have: one look for the sign is a thirtieth of a try. What comes out is the same, to the letter.
"""

import re
from collections.abc import Sequence
from typing import Any

from markdown import Markdown
from markdown.treeprocessors import InlineProcessor
from markdown.util import AtomicString

# Signs of which a text must have one for a pattern of this name to match.
_SIGNS = {
    "backtick": "`",
    "escape": "\\",
    "footnote": "[",
    "reference": "[",
    "link": "[",
    "image_link": "[",
    "image_reference": "[",
    "short_reference": "[",
    "short_image_ref": "[",
    "autolink": "<",
    "automail": "<",
    "linebreak": "\n",
    "html": "<",
    "entity": "&",
    "em_strong": "*_",
    **{f"smarty-quotes-{number}": "\"'" for number in range(15)},
    "smarty-em-dashes": "-",
    "smarty-en-dashes": "-",
    "smarty-ellipses": ".",
}
# Markdown's own two, and their places among what is done to a text (`markdown.treeprocessors`, `smarty`).
_PLACES = {"inline": 20, "smarty": 6}


class Quick(InlineProcessor):
    """Tries those patterns that can match."""

    def __init__(self, md: Markdown, patterns: Any) -> None:  # noqa: ANN401 - Markdown's registry has no public type
        """Take over the patterns of another."""
        super().__init__(md)
        self.inlinePatterns = patterns
        self._tries: Sequence[tuple[str, str, Any]] = ()
        self._any: re.Pattern[str] | None = None

    def _InlineProcessor__handleInline(self, data: str, patternIndex: int = 0) -> str:  # noqa: N802, N803 - Markdown's own
        """Markdown's own loop, with a look in front of each try."""
        if isinstance(data, AtomicString) or self.plain(data):
            return data
        tries, place, start = self._tries, patternIndex, 0
        while place < len(tries):
            one, other, pattern = tries[place]
            matched = False
            if one in data or other in data:
                data, matched, start = self._InlineProcessor__applyPattern(pattern, data, place, start)  # type: ignore[attr-defined]
            if not matched:
                place, start = place + 1, 0
        return data

    def plain(self, text: str) -> bool:
        """Whether nothing in a text can mean anything."""
        if not self._tries:
            self._prepare()
        return self._any is not None and not self._any.search(text)

    def _prepare(self) -> None:
        # Of what is not known here, an empty sign, which every text has.
        signs = dict.fromkeys(range(len(self.inlinePatterns)), "")
        for name, known in _SIGNS.items():
            if name in self.inlinePatterns:
                signs[self.inlinePatterns.get_index_for_name(name)] = known
        if all(signs.values()):
            self._any = re.compile(f"[{re.escape(''.join(signs.values()))}]")
        self._tries = [
            (signs[place][:1], signs[place][-1:], pattern) for place, pattern in enumerate(self.inlinePatterns)
        ]


def quick(md: Markdown) -> Markdown:
    """The same Markdown, with its two inline processors replaced."""
    for name, place in _PLACES.items():
        stock = md.treeprocessors[name] if name in md.treeprocessors else None  # noqa: SIM401 - a registry is no dict
        if type(stock) is InlineProcessor:
            md.treeprocessors.register(Quick(md, stock.inlinePatterns), name, place)
    return md
