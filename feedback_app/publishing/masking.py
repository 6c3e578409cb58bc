"""Names that are not the shop's to tell: `[[First Last]]` is printed as `Fxxxxx Lxxxxx`.

A Python-Markdown extension. It works on the text before anything else reads it, head, examples and HTML included, so
that no later step ever has the name in its hands. Always five x's: a length identifies. `[[alias]]`, with a line
`alias = "First Last"` in `INSTANCE/aliases.toml`, keeps the name out of the post's file as well.
"""

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

ALIASES = "aliases.toml"
XS = "xxxxx"
LONGEST = 200
# What may stand inside; a name can be broken over two lines.
NAME = re.compile(rf"\[\[([^\[\]]{{1,{LONGEST}}})\]\]")
# After Markdown has made line breaks one kind (30), before Pelican's head is read (27).
PRIORITY = 29


class BadAliases(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The file of aliases can't be used; one line that says why and repeats no name."""


def masked_name(name: str) -> str | None:
    """`Nora Smith` as `Nxxxxx Sxxxxx`, or None for something in brackets that is no name: `[[1, 2]]`, `[[ -f x ]]`."""
    words = unicodedata.normalize("NFC", name).split()
    return " ".join(f"{word[0]}{XS}" for word in words) if words and all(word[0].isalpha() for word in words) else None


def masked(text: str, aliases: dict[str, str]) -> str:
    """A text with every name masked. `aliases` are masked already, by their name in small letters."""

    def one(found: re.Match[str]) -> str:
        known = aliases.get(" ".join(found[1].split()).lower())
        return known or masked_name(found[1]) or found[0]

    return NAME.sub(one, text)


def read_aliases(instance: Path) -> dict[str, str]:
    """The instance's aliases, each with what is printed for it: the names go no further. Raises BadAliases."""
    path = instance / ALIASES
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8"))
        if path.stat().st_mode & 0o077:
            # Written by hand, and nobody else's to read.
            path.chmod(0o600)
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"{path}: can't be read ({error.strerror})"
        raise BadAliases(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: this is not UTF-8: save the file again as UTF-8"
        raise BadAliases(message) from error
    except tomllib.TOMLDecodeError as error:
        # Its own words can quote what was written.
        line = re.search(r"line (\d+)", str(error))
        message = f'{path}{f":{line[1]}" if line else ""}: lines here look like `alias = "First Last"`'
        raise BadAliases(message) from None
    aliases = {}
    for alias, name in names.items():
        shown = masked_name(name) if isinstance(name, str) else None
        if shown is None:
            message = f"{path}: {alias}: a name is words that start with a letter, in quotation marks"
            raise BadAliases(message)
        aliases[" ".join(alias.split()).lower()] = shown
    return aliases


class Masking(Preprocessor):
    """Masks names before Markdown, or anybody, reads them."""

    def __init__(self, md: Markdown, aliases: dict[str, str]) -> None:
        """Take the aliases, which are masked already."""
        super().__init__(md)
        self._aliases = aliases

    def run(self, lines: list[str]) -> list[str]:
        """Mask names in a whole text."""
        return masked("\n".join(lines), self._aliases).split("\n")


class MaskingExtension(Extension):
    """The extension; its setting `aliases` is what `read_aliases` gives."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - the base's signature
        """Take the settings."""
        self.config = {"aliases": [{}, "Aliases in small letters, each with what is printed for it"]}
        super().__init__(**settings)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the base's name
        """Put the masking in front of everything that reads the text."""
        md.preprocessors.register(Masking(md, self.getConfig("aliases")), "masking", PRIORITY)


def makeExtension(**settings: Any) -> MaskingExtension:  # noqa: ANN401, N802 - Markdown's own convention
    """The extension, by its module's name."""
    return MaskingExtension(**settings)
