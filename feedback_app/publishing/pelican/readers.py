"""Reading posts: each file once, however often its post is built into something.

Pelican's own reader, with one Markdown instance for all files instead of one for each, a short way for ISO dates, and
one object for each label. What a file says is kept as plain data, and only read again when the file is another.
"""

import json
import re
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
from feedback_app.publishing.pelican.quick import quick

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d)(?::(\d\d))?)?")
# Before that, what a year looks like depends on the system.
_FOUR_DIGITS = 1000
_WRAPPERS: dict[str, type[URLWrapper]] = {"tag": Tag, "author": Author, "category": Category}


class QuickDate(SafeDatetime):
    """Pelican's date, which an address asks for its year and its month again and again."""

    def strftime(self, fmt: str, safe: bool = True) -> str:  # noqa: FBT001, FBT002 - as Pelican has it
        """As Pelican writes dates."""
        match fmt:
            case "%Y" if self.year >= _FOUR_DIGITS:
                return str(self.year)
            case "%m":
                return f"{self.month:02}"
            case "%d":
                return f"{self.day:02}"
        return str(super().strftime(fmt, safe))


class QuickArticle(Article):
    """Pelican's article, whose address is put together in less time."""

    @property
    def url_format(self) -> dict[str, Any]:
        """What an address is made of."""
        values: dict[str, Any] = super().url_format
        values["date"] = QuickDate.combine(values["date"].date(), values["date"].timetz())
        return values


class OneMarkdown(MarkdownReader):
    """Pelican's Markdown reader with one Markdown instance for all files."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """As Pelican makes its readers."""
        super().__init__(settings)
        self._one: Markdown | None = None
        self._heads: Any = None
        self._labels: dict[tuple[str, str], URLWrapper] = {}

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """A file's text as HTML, and its head."""
        self._source_path = source_path
        md = self._one
        if md is None:
            md = self._one = quick(Markdown(**self.settings["MARKDOWN"]))
            self._heads = md.preprocessors["meta"]
        elif "meta" not in md.preprocessors:
            # Pelican takes it out to read the fields of a head, and never puts it back.
            md.preprocessors.register(self._heads, "meta", 27)
        md.reset()
        self._md = md
        # The mark of some editors at a file's start is no part of its text.
        content = md.convert(Path(source_path).read_text(encoding="utf-8-sig"))
        return content, self._parse_metadata(getattr(md, "Meta", {}))

    def process_metadata(self, name: str, value: Any) -> Any:  # noqa: ANN401 - as Pelican has it
        """One field of a head."""
        if name == "date" and (found := _DATE.fullmatch(value.strip())):
            return SafeDatetime(*(int(part or 0) for part in found.groups()))
        value = super().process_metadata(name, value)
        if isinstance(value, list):
            return [self._one_of(item) for item in value]
        return self._one_of(value)

    def _one_of(self, value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
        # A label works out its slug when it is asked, each time anew for each object.
        if type(value) not in {Tag, Author}:
            return value
        return self._labels.setdefault((type(value).__name__, value.name), value)


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
