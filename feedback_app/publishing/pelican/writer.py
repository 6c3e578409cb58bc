"""Pelican's writer, which leaves out what is on the site already.

A file's key is a fingerprint of all that it is made of: its template's name, and whatever the template, and what it
extends, includes or imports, mentions by name. Of posts that is what a card says of each, and all of those of which the
template asked for more when the file was made; it would ask for nothing else before something of this is another. The
configuration, the theme and the program are in the site's own key.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template, TemplateNotFound, meta
from pelican.utils import sanitised_join
from pelican.writers import FileOverwriteFailedError, Writer

from feedback_app.publishing.files.scan import digest, stamp_at
from feedback_app.publishing.files.write import Output
from feedback_app.publishing.pelican.context import BUILD, Build
from feedback_app.publishing.posts.fingerprints import Fingerprints
from feedback_app.publishing.posts.lazy_post import LazyPost

_PAGES = re.compile(r"(.+?)_(?:page|paginator|previous_page|next_page)")


class KeyedWriter(Writer):
    """Writes what is not there yet into the stage, and knows of everything that belongs to the site."""

    def __init__(
        self,
        output_path: str,
        settings: dict[str, Any],
        known: Mapping[str, Output],
        names: dict[str, frozenset[str] | None],
        faces: Fingerprints,
    ) -> None:
        """`known` is the site as it is, or nothing, for a site to be made anew; `names` what templates may look up.

        `faces` knows what lists of cards say.
        """
        super().__init__(output_path, settings)
        self.known = known
        self.build: Build = settings[BUILD]
        self.faces = faces
        self.versions = Fingerprints(attrgetter("version"))
        # The site's files, by name, with their keys; and those of them that were made now.
        self.wanted: dict[str, bytes] = {}
        self.made: set[str] = set()
        self.share, self.shares = 0, 1
        # The posts of which a page that is no post's own shows more than their cards, for those that were made now.
        self.asked: dict[str, list[str]] = {}
        self._names = names

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
        shown = self.page_key(self.faces, template, context, kwargs)
        key = digest(shown, name.encode(), self._pages_of_a_list(template_name))
        asked = self.build.asked_of(name)
        if self.needs(name, self._with(key, asked), override=override_output):
            self.build.asked.clear()
            super().write_file(
                name, template, context, relative_urls, paginated, template_name, override_output, url, **kwargs
            )
            self.asked[name] = sorted(self.build.asked)
            self.wanted[name] = self._with(key, self.asked[name])

    def _with(self, key: bytes, asked: Iterable[str]) -> bytes:
        """The key of a page that shows more of some posts than their cards."""
        posts = [self.build.listed(path) for path in asked]
        return digest(key, *(b"" if post is None else post.own_key for post in posts)) if posts else key

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
        key = digest(self.versions.of(list(shown)), repr((path, url, feed_type, feed_title)).encode())
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

    def page_key(
        self, prints: Fingerprints, template: Template, context: Mapping[str, Any], given: Mapping[str, Any]
    ) -> bytes:
        """A fingerprint of what a template would show."""
        names = self.names(template.environment, template.name or "")
        if names is None:
            names = frozenset(given) | {name for name in context if name not in self.settings}
        parts = [(template.name or "").encode()]
        for name in sorted(names):
            if name in given:
                value = given[name]
                parts += [name.encode(), value.own_key if isinstance(value, LazyPost) else prints.of(value)]
            elif name in context and (name not in self.settings or context[name] is not self.settings[name]):
                parts += [name.encode(), prints.of(context[name])]
        return digest(*parts)

    def names(self, environment: Environment, template: str) -> frozenset[str] | None:
        """Every name that a template and those it is made of may look up; None if that can't be said before."""
        if template not in self._names:
            self._names[template] = _names_in(environment, template)
        return self._names[template]

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
