"""Pelican's readers with the build cache: each post's file is read once, however many pages show the post."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pelican.contents import Article, Author, Category, Tag
from pelican.plugins import signals
from pelican.readers import Readers
from pelican.urlwrappers import URLWrapper
from pelican.utils import SafeDatetime

from feedback_app.publishing.incremental import BuildCache

_WRAPPERS: dict[str, type[URLWrapper]] = {"tag": Tag, "author": Author, "category": Category}


class CachedReaders(Readers):
    """Pelican's readers, which take from the build cache what a file said when it was last read."""

    def __init__(self, settings: dict[str, Any], cache: BuildCache) -> None:
        """Take Pelican's settings and the build cache."""
        super().__init__(settings)
        self.cache = cache
        self._prefix = f"{Path(settings['PATH'])}/"
        # By the paths of files: HTML and head (JSON) that were read in this build and are not saved yet, and the
        # files that have changed since they were saved.
        self.new_texts: dict[str, tuple[str, str]] = {}
        self.changed: set[str] = set()

    def get_cached_data(self, filename: str, default: Any = None) -> Any:  # noqa: ANN401 - Pelican's signature
        """Return HTML and head of a file as they were read last."""
        path = filename.removeprefix(self._prefix)
        text = self.new_texts.get(path) or (None if path in self.changed else self.cache.texts(path))
        if text is None:
            return default
        return text[0], from_plain(json.loads(text[1]), self.settings)

    def cache_data(self, filename: str, data: tuple[str | None, dict[str, Any]]) -> None:
        """Keep HTML and head of a file that was read."""
        content, metadata = data
        if content is not None:
            path = filename.removeprefix(self._prefix)
            self.new_texts[path] = content, json.dumps(to_plain(metadata), ensure_ascii=False)


def read_article(path: str, generator: Any) -> Article:  # noqa: ANN401 - Pelican has no types
    """Return a post's whole article, made by Pelican from its file or from the cache."""
    return generator.readers.read_file(
        base_path=generator.path,
        path=path,
        content_class=Article,
        context=generator.context,
        preread_signal=signals.article_generator_preread,
        preread_sender=generator,
        context_signal=signals.article_generator_context,
        context_sender=generator,
    )


def to_plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value of a post's head as data for JSON. Raises TypeError for what that can't hold."""
    match value:
        case URLWrapper():
            return {"": type(value).__name__.lower(), "name": value.name}
        case datetime():
            return {"": "date", "at": value.isoformat()}
        case dict():
            return {"": "dict", "of": {name: to_plain(item) for name, item in value.items()}}
        case list() | tuple():
            return [to_plain(item) for item in value]
        case str():
            # Markup is a text, too.
            return str(value)
        case None | bool() | int() | float():
            return value
    message = f"a head can hold text, numbers, dates and lists, not {type(value).__name__}"
    raise TypeError(message)


def from_plain(value: Any, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return the value that `to_plain` got."""
    match value:
        case {"": "date", "at": str(at)}:
            return SafeDatetime.fromisoformat(at)
        case {"": "dict", "of": dict(items)}:
            return {name: from_plain(item, settings) for name, item in items.items()}
        case {"": str(kind), "name": name}:
            return _WRAPPERS[kind](name, settings)
        case list():
            return [from_plain(item, settings) for item in value]
    return value
