"""Fingerprints of what templates are given: the same for as long as a template would show the same of it."""

import os
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from pelican.contents import Content, Static
from pelican.urlwrappers import URLWrapper

from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.posts.lazy_post import LazyPost, Month

# Values, by where they are, with their fingerprints; to be held on to, so that nothing else comes to be there.
Known = dict[int, tuple[Any, bytes]]


class Fingerprints:
    """Of values as templates see them; how much of a post counts is said by whoever makes it."""

    def __init__(self, of_post: Callable[[LazyPost], bytes], lists: Known | None = None) -> None:
        """`of_post` gives a post's own, all of one length; `lists` are what is known of lists of posts already."""
        self._of_post = of_post
        self._lists: Known = {} if lists is None else lists
        # The rest is another object in each build, and holds on to much.
        self._known: Known = {}

    def of(self, value: Any) -> bytes:  # noqa: ANN401, PLR0911 - whatever a template may be given
        """A value's fingerprint."""
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
                return digest(repr((value.url, _plain(value.metadata))).encode(), (value.content or "").encode())
            case list() | tuple() | dict():
                return self._of_many(value)
        if callable(value) or type(value).__module__ in {"zoneinfo", "re", "pathlib"}:
            return repr(getattr(value, "__qualname__", value)).encode()
        # Whatever it is, nobody can say when it changes.
        return os.urandom(12)

    def _of_many(self, value: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> bytes:
        for known in (self._lists, self._known):
            kept = known.get(id(value))
            if kept is not None and kept[0] is value:
                return kept[1]
        if set(map(type, value)) == {LazyPost}:
            # A label's posts, an archive's: all are of one length, so that one after the other says which.
            known, made = self._lists, digest(b"posts", b"".join(map(self._of_post, value)))
        elif isinstance(value, dict):
            known, made = self._known, digest(b"dict", *(self.of(part) for item in value.items() for part in item))
        else:
            known, made = self._known, digest(b"list", *map(self.of, value))
        known[id(value)] = value, made
        return made


def _plain(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in metadata.items())
