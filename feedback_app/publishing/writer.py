"""Pelican's writer, which leaves out what is on the site already.

A file's key is a fingerprint of all that it is made of: its template's name, and whatever the template, and what it
extends, includes or imports, mentions by name. The configuration, the theme and the program are in the site's own key.
"""

import os
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template, TemplateNotFound, meta
from pelican.contents import Content, Static
from pelican.urlwrappers import URLWrapper
from pelican.utils import sanitised_join
from pelican.writers import FileOverwriteFailedError, Writer

from feedback_app.publishing.posts import Listed, Month
from feedback_app.publishing.shelf import Output
from feedback_app.publishing.sources import digest, stamp_at

_PAGES = re.compile(r"(.+?)_(?:page|paginator|previous_page|next_page)")


class KeyedWriter(Writer):
    """Writes what is not there yet into the stage, and knows of everything that belongs to the site."""

    def __init__(
        self,
        output_path: str,
        settings: dict[str, Any],
        known: Mapping[str, Output],
        names: dict[str, frozenset[str] | None],
    ) -> None:
        """`known` is the site as it is, or nothing, for a site to be made anew; `names` what templates may look up."""
        super().__init__(output_path, settings)
        self.known = known
        # The site's files, by name, with their keys; and those of them that were made now.
        self.wanted: dict[str, bytes] = {}
        self.made: set[str] = set()
        self.share, self.shares = 0, 1
        self._names = names
        self._keys: dict[int, tuple[Any, bytes]] = {}

    def needs(self, name: str, key: bytes, *, override: bool = False) -> bool:
        """Claim a name in the site; returns whether the file has to be made, here and now."""
        if name in self.wanted and not override:
            message = f"{name}: two things want to be this file of the site"
            raise FileOverwriteFailedError(message)
        self.wanted[name] = key
        known = self.known.get(name)
        if known is not None and known.key == key:
            return False
        if self.shares > 1 and zlib.crc32(name.encode()) % self.shares != self.share:
            return False
        self.made.add(name)
        return True

    def write_file(  # noqa: PLR0917 - as Pelican has it
        self,
        name: str,
        template: Template,
        context: dict[str, Any],
        relative_urls: bool = False,  # noqa: FBT001, FBT002 - as Pelican has it
        paginated: Any = None,  # noqa: ANN401 - as Pelican has it
        template_name: str | None = None,
        override_output: bool = False,  # noqa: FBT001, FBT002 - as Pelican has it
        url: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - what the template gets
    ) -> None:
        """Render a template into a file, unless the file is what it would become."""
        if not name:
            return
        key = digest(self.page_key(template, context, kwargs), name.encode(), self._pages_of_a_list(template_name))
        if self.needs(name, key, override=override_output):
            super().write_file(
                name, template, context, relative_urls, paginated, template_name, override_output, url, **kwargs
            )

    def render(self, name: str, template: Template, context: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
        """Render a template into a file whose name has been claimed."""
        super().write_file(name, template, context, self.settings["RELATIVE_URLS"], **kwargs)

    def write_feed(  # noqa: PLR0917 - as Pelican has it
        self,
        elements: list[Any],
        context: dict[str, Any],
        path: str | None = None,
        url: str | None = None,
        feed_type: str = "atom",
        override_output: bool = False,  # noqa: FBT001, FBT002 - as Pelican has it
        feed_title: str | None = None,
    ) -> Any:  # noqa: ANN401 - Pelican's feed
        """Write a feed, unless it is what it would become."""
        shown = elements[: self.settings["FEED_MAX_ITEMS"]]
        key = digest(self.key_of(list(shown)), repr((path, url, feed_type, feed_title)).encode())
        if path is None or self.needs(path, key, override=override_output):
            return super().write_feed(elements, context, path, url, feed_type, override_output, feed_title)
        return None

    def write_made(self, name: str, key: bytes, make: Callable[[], bytes]) -> None:
        """Write a file that no template makes, unless it is what it would become."""
        if self.needs(name, key):
            self.put(name, make())

    def put(self, name: str, data: bytes) -> None:
        """Put a file onto the stage."""
        path = sanitised_join(self.output_path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - ten thousand times
        with open(path, "wb") as file:  # noqa: PTH123 - the same
            file.write(data)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file, unless it was copied before and has not been touched since."""
        self.write_made(name, digest(b"copy", repr((str(source), stamp_at(source))).encode()), source.read_bytes)

    def page_key(self, template: Template, context: Mapping[str, Any], given: Mapping[str, Any]) -> bytes:
        """A fingerprint of what a template would show."""
        names = self.names(template.environment, template.name or "")
        if names is None:
            names = frozenset(given) | {name for name in context if name not in self.settings}
        parts = [(template.name or "").encode()]
        for name in sorted(names):
            if name in given:
                value = given[name]
                parts += [name.encode(), value.own_key if isinstance(value, Listed) else self.key_of(value)]
            elif name in context and (name not in self.settings or context[name] is not self.settings[name]):
                parts += [name.encode(), self.key_of(context[name])]
        return digest(*parts)

    def names(self, environment: Environment, template: str) -> frozenset[str] | None:
        """Every name that a template and those it is made of may look up; None if that can't be said before."""
        if template not in self._names:
            self._names[template] = _names_in(environment, template)
        return self._names[template]

    def key_of(self, value: Any) -> bytes:  # noqa: ANN401, PLR0911 - whatever a template may be given
        """A fingerprint of a value as templates see it."""
        match value:
            case Listed():
                return value.version
            case str() | int() | float() | bytes() | None | date():
                return repr(value).encode()
            case URLWrapper():
                return repr((type(value).__name__, value.name, value.slug)).encode()
            case Month():
                return digest(repr((value.name, value.url)).encode(), self.key_of(value.articles))
            case Static():
                return repr((value.source_path, getattr(value, "override_save_as", ""))).encode()
            case Content():
                return digest(repr((value.url, _plain(value.metadata))).encode(), (value.content or "").encode())
            case list() | tuple() | dict():
                kept = self._keys.get(id(value))
                if kept is None or kept[0] is not value:
                    kept = self._keys[id(value)] = value, self._key_of_all(value)
                return kept[1]
        if callable(value) or type(value).__module__ in {"zoneinfo", "re", "pathlib"}:
            return repr(getattr(value, "__qualname__", value)).encode()
        # Whatever it is, nobody can say when it changes.
        return os.urandom(12)

    def _key_of_all(self, value: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> bytes:
        if isinstance(value, dict):
            return digest(b"dict", *(part for item in value.items() for part in map(self.key_of, item)))
        if set(map(type, value)) == {Listed}:
            # A label's posts, an archive's: versions are all of one length, so that one after the other says which.
            return digest(b"posts", b"".join([post.version for post in value]))
        return digest(b"list", *map(self.key_of, value))

    def _pages_of_a_list(self, template_name: str | None) -> bytes:
        # A list on several pages is one thing that is made whole each time: how many pages there are depends on it.
        pages = self.settings["DEFAULT_PAGINATION"] and template_name in self.settings["PAGINATED_TEMPLATES"]
        return os.urandom(12) if pages else b""


def _names_in(environment: Environment, template: str) -> frozenset[str] | None:
    names: set[str] = set()
    todo, seen = [template], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        assert environment.loader is not None  # noqa: S101 - Pelican's has one
        try:
            source = environment.loader.get_source(environment, name)[0]
        except TemplateNotFound:
            return None
        tree = environment.parse(source)
        names |= meta.find_undeclared_variables(tree)
        for other in meta.find_referenced_templates(tree):
            if other is None:
                return None
            todo.append(other)
    # A list on pages (`articles_page`) is made of the list.
    return frozenset(names | {found[1] for name in names if (found := _PAGES.fullmatch(name))})


def _plain(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in metadata.items())
