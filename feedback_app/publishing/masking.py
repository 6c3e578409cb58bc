"""Masked names in posts, a Python-Markdown extension: `[[First Last]]` is printed as `Fxxxxx Lxxxxx`.

It masks the whole text, with its head, its examples and its HTML, before any other step reads it, so that no later step
can leak the name. It always prints five x's, because a name's length can identify a person. `[[alias]]`, with a line
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
MAX_LENGTH = 200
# A name may be broken over two lines.
NAME = re.compile(rf"\[\[([^\[\]]{{1,{MAX_LENGTH}}})\]\]")
# After Markdown's preprocessor that normalizes line breaks (30), before the one that reads the head (27).
PRIORITY = 29


class BadAliases(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The file of aliases can't be used; one line that says why and quotes no name."""


def masked_name(name: str) -> str | None:
    """Return `Nora Smith` as `Nxxxxx Sxxxxx`; None for what is not a name: `[[1, 2]]`, `[[ -f x ]]`."""
    words = unicodedata.normalize("NFC", name).split()
    return " ".join(f"{word[0]}{XS}" for word in words) if words and all(word[0].isalpha() for word in words) else None


def masked(text: str, aliases: dict[str, str]) -> str:
    """Return a text with every name masked. `aliases` maps aliases in lower case to names that are masked already."""

    def mask(match: re.Match[str]) -> str:
        alias = aliases.get(" ".join(match[1].split()).lower())
        return alias or masked_name(match[1]) or match[0]

    return NAME.sub(mask, text)


def read_aliases(instance: Path) -> dict[str, str]:
    """Return the instance's aliases with their masked names: the names themselves go no further. Raises BadAliases."""
    path = instance / ALIASES
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8"))
        if path.stat().st_mode & 0o077:
            # The owner made the file by hand; it holds customers' names.
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
        # TOML's own message can quote the line, and with it a name.
        line = re.search(r"line (\d+)", str(error))
        message = f'{path}{f":{line[1]}" if line else ""}: lines here look like `alias = "First Last"`'
        raise BadAliases(message) from None
    aliases = {}
    for alias, name in names.items():
        masked_text = masked_name(name) if isinstance(name, str) else None
        if masked_text is None:
            message = f"{path}: {alias}: a name is words that start with a letter, in quotation marks"
            raise BadAliases(message)
        aliases[" ".join(alias.split()).lower()] = masked_text
    return aliases


class MaskingPreprocessor(Preprocessor):
    """Masks names before Markdown's other steps read them."""

    def __init__(self, md: Markdown, aliases: dict[str, str]) -> None:
        """Take the aliases, which are masked already."""
        super().__init__(md)
        self._aliases = aliases

    def run(self, lines: list[str]) -> list[str]:
        """Mask the names in a whole text."""
        return masked("\n".join(lines), self._aliases).split("\n")


class MaskingExtension(Extension):
    """The extension; its setting `aliases` is what `read_aliases` returns."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - Markdown's signature
        """Take the settings."""
        self.config = {"aliases": [{}, "Aliases in lower case with their masked names"]}
        super().__init__(**settings)

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Markdown's name
        """Register the preprocessor."""
        md.preprocessors.register(MaskingPreprocessor(md, self.getConfig("aliases")), "masking", PRIORITY)


def makeExtension(**settings: Any) -> MaskingExtension:  # noqa: ANN401, N802 - Markdown's own convention
    """Return the extension: Markdown calls this when it is given the module's name."""
    return MaskingExtension(**settings)
