"""Fingerprints of the values that templates get: the same as long as a template would show the same of them."""

import os
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from pelican.contents import Content, Static
from pelican.urlwrappers import URLWrapper

from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.posts.lazy_post import LazyPost, Month

# By a value's id. The value is kept with its fingerprint, so that no other object gets its id.
FingerprintCache = dict[int, tuple[Any, bytes]]


class Fingerprints:
    """Fingerprints template arguments; `of_post` chooses a post's key."""

    def __init__(self, of_post: Callable[[LazyPost], bytes], lists: FingerprintCache | None = None) -> None:
        """`of_post` returns keys of one length; `lists` caches fingerprints of lists of posts between builds."""
        self._of_post = of_post
        self._lists: FingerprintCache = {} if lists is None else lists
        # Values other than lists of posts are new objects in each build; caching them longer would only hold memory.
        self._others: FingerprintCache = {}

    def of(self, value: Any) -> bytes:  # noqa: ANN401, PLR0911 - a template may be given anything
        """Return a value's fingerprint."""
        match value:
            case LazyPost():
                return self._of_post(value)
            case str() | int() | float() | bytes() | None | date():
                return repr(value).encode()
            case URLWrapper():
                return repr((type(value).__name__, value.name, value.slug)).encode()
            case Month():
                return digest(repr((value.name, value.url)).encode(), self.of(value.articles))
            case Static():
                return repr((value.source_path, getattr(value, "override_save_as", ""))).encode()
            case Content():
                return digest(repr((value.url, _as_texts(value.metadata))).encode(), (value.content or "").encode())
            case list() | tuple() | dict():
                return self._of_many(value)
        if callable(value) or type(value).__module__ in {"zoneinfo", "re", "pathlib"}:
            return repr(getattr(value, "__qualname__", value)).encode()
        # Nobody can tell when an unknown object changes: its page is made each time.
        return os.urandom(12)

    def _of_many(self, value: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> bytes:
        for cache in (self._lists, self._others):
            cached = cache.get(id(value))
            if cached is not None and cached[0] is value:
                return cached[1]
        if set(map(type, value)) == {LazyPost}:
            # Keys of posts have one length, so that no separator is needed.
            cache, made = self._lists, digest(b"posts", b"".join(map(self._of_post, value)))
        elif isinstance(value, dict):
            cache, made = self._others, digest(b"dict", *(self.of(part) for item in value.items() for part in item))
        else:
            cache, made = self._others, digest(b"list", *map(self.of, value))
        cache[id(value)] = value, made
        return made


def _as_texts(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in metadata.items())
