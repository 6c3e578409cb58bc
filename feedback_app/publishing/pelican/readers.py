"""Readers: each post's file is read once, however many pages show the post.

Pelican's own reader, with one Markdown instance for all files instead of one for each. What a file says is cached as
plain data, and read again only when the file has changed.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from markdown import Markdown
from pelican.contents import Article, Author, Category, Page, Tag
from pelican.readers import MarkdownReader, Readers
from pelican.urlwrappers import URLWrapper
from pelican.utils import SafeDatetime

from feedback_app.publishing.incremental.cache import BuildCache

_WRAPPERS: dict[str, type[URLWrapper]] = {"tag": Tag, "author": Author, "category": Category}


class OneMarkdown(MarkdownReader):
    """Pelican's Markdown reader with one Markdown instance for all files."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """As Pelican makes its readers."""
        super().__init__(settings)
        self._one: Markdown | None = None
        self._heads: Any = None

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """A file's text as HTML, and its head."""
        self._source_path = source_path
        md = self._one
        if md is None:
            md = self._one = Markdown(**self.settings["MARKDOWN"])
            self._heads = md.preprocessors["meta"]
        elif "meta" not in md.preprocessors:
            # Pelican takes it out to read the fields of a head, and never puts it back.
            md.preprocessors.register(self._heads, "meta", 27)
        md.reset()
        self._md = md
        # The mark of some editors at a file's start is no part of its text.
        content = md.convert(Path(source_path).read_text(encoding="utf-8-sig"))
        return content, self._parse_metadata(getattr(md, "Meta", {}))


class KeptReaders(Readers):
    """Pelican's readers, that keep what they have read on the shelf."""

    def __init__(self, settings: dict[str, Any], shelf: BuildCache) -> None:
        """As Pelican makes them."""
        super().__init__(settings)
        self.shelf = shelf
        self.base = f"{Path(settings['PATH'])}/"
        # What was read in this build, by the file's place: the text and its metadata as they are kept.
        self.fresh: dict[str, tuple[str, str]] = {}
        # Files whose text on the shelf is not what the file says any more.
        self.stale: set[str] = set()

    def get_cached_data(self, filename: str, default: Any = None) -> Any:  # noqa: ANN401 - as Pelican has it
        """What a file said when it was last read."""
        path = self._path(filename)
        kept = self.fresh.get(path) or (None if path in self.stale else self.shelf.text(path))
        if kept is None:
            return default
        return kept[0], decoded(json.loads(kept[1]), self.settings)

    def cache_data(self, filename: str, data: tuple[str, dict[str, Any]]) -> None:
        """Keep what a file says."""
        content, metadata = data
        if content is not None:
            self.fresh[self._path(filename)] = content, json.dumps(encoded(metadata), ensure_ascii=False)

    def _path(self, filename: str) -> str:
        return filename.removeprefix(self.base)


def encoded(value: Any) -> Any:  # noqa: ANN401 - JSON
    """What a head says as plain data. Raises TypeError for what can't be kept."""
    match value:
        case URLWrapper():
            return {"": type(value).__name__.lower(), "name": value.name}
        case datetime():
            return {"": "date", "at": value.isoformat()}
        case dict():
            return {"": "dict", "of": {name: encoded(item) for name, item in value.items()}}
        case list() | tuple():
            return [encoded(item) for item in value]
        case str():
            return str(value)
        case None | bool() | int() | float():
            return value
    message = f"a head can hold text, numbers, dates and lists, not {type(value).__name__}"
    raise TypeError(message)


def decoded(value: Any, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """What `encoded` made plain."""
    match value:
        case {"": "date", "at": str(at)}:
            return SafeDatetime.fromisoformat(at)
        case {"": "dict", "of": dict(items)}:
            return {name: decoded(item, settings) for name, item in items.items()}
        case {"": str(kind), "name": name}:
            return _WRAPPERS[kind](name, settings)
        case list():
            return [decoded(item, settings) for item in value]
    return value


def links_of(content: Article | Page) -> list[list[str]]:
    """The links of a text to other files of the content, in Pelican's own words: `{filename}other.md`."""
    text = content._content or ""  # noqa: SLF001 - before Pelican replaces them
    if "{" not in text and "|" not in text and not any("{" in str(value) for value in content.metadata.values()):
        return []
    texts = [text, *(value for value in content.metadata.values() if isinstance(value, str))]
    found = content._get_intrasite_link_regex()  # noqa: SLF001 - Pelican's own
    return [list(link) for link in sorted({(m["what"], m["value"]) for text in texts for m in found.finditer(text)})]
