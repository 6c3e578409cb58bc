"""Pelican's writer, which leaves out every file that the site already has.

A file's key is a fingerprint of all that it is made from: its template's name, and every variable that the template, or
what it extends, includes or imports, mentions by name. Of a list's posts the key holds what their cards say. Of those
posts of which the template showed more when the page was made, it holds everything: as long as none of this changes,
the template cannot ask for more. Configuration, theme and program are in the site's own key.
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
from feedback_app.publishing.pelican.build import BUILD, Build
from feedback_app.publishing.posts.fingerprints import Fingerprints
from feedback_app.publishing.posts.lazy_post import LazyPost

_PAGINATED = re.compile(r"(.+?)_(?:page|paginator|previous_page|next_page)")


class KeyedWriter(Writer):
    """Writes the files that the site lacks into the stage, and knows the keys of all files that belong to the site."""

    def __init__(
        self,
        output_path: str,
        settings: dict[str, Any],
        outputs: Mapping[str, Output],
        template_variables: dict[str, frozenset[str] | None],
        cards: Fingerprints,
    ) -> None:
        """`outputs` is the site as it is; it is empty when everything is to be made.

        `template_variables` caches the variables of each template, `cards` fingerprints lists by their posts' cards.
        """
        super().__init__(output_path, settings)
        self.outputs = outputs
        self.build: Build = settings[BUILD]
        self.cards = cards
        self.versions = Fingerprints(attrgetter("version"))
        # The keys of all files that belong to the site, by name, and which of them were written in this build.
        self.keys: dict[str, bytes] = {}
        self.written: set[str] = set()
        # The posts of which a page shows more than their cards, for each list that was written in this build.
        self.full_reads: dict[str, list[str]] = {}
        # Which of the processes this is that share the writing.
        self.process, self.processes = 0, 1
        self._template_variables = template_variables

    def claim(self, name: str, key: bytes, *, override: bool = False) -> bool:
        """Claim a name in the site; returns whether this process has to write the file."""
        if name in self.keys and not override:
            message = f"{name}: two things want to be this file of the site"
            raise FileOverwriteFailedError(message)
        self.keys[name] = key
        output = self.outputs.get(name)
        if output is not None and output.key == key:
            return False
        if self.processes > 1 and zlib.crc32(name.encode()) % self.processes != self.process:
            return False
        self.written.add(name)
        return True

    def write_file(  # noqa: PLR0917 - Pelican's signature
        self,
        name: str,
        template: Template,
        context: dict[str, Any],
        relative_urls: bool = False,  # noqa: FBT001, FBT002 - Pelican's signature
        paginated: Any = None,  # noqa: ANN401 - Pelican's signature
        template_name: str | None = None,
        override_output: bool = False,  # noqa: FBT001, FBT002 - Pelican's signature
        url: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - the template's arguments
    ) -> None:
        """Render a template into a file, unless the site has the file already."""
        if not name:
            return
        shown = self.page_key(self.cards, template, context, kwargs)
        key = digest(shown, name.encode(), self._pagination_key(template_name))
        if self.claim(name, self._with_posts(key, self.build.full_reads_of(name)), override=override_output):
            self.build.full_reads.clear()
            super().write_file(
                name, template, context, relative_urls, paginated, template_name, override_output, url, **kwargs
            )
            self.full_reads[name] = sorted(self.build.full_reads)
            self.keys[name] = self._with_posts(key, self.full_reads[name])

    def _with_posts(self, key: bytes, paths: Iterable[str]) -> bytes:
        """Return the key of a page that shows more of some posts than their cards."""
        posts = [self.build.post_at(path) for path in paths]
        return digest(key, *(b"" if post is None else post.content_key for post in posts)) if posts else key

    def render(self, name: str, template: Template, context: dict[str, Any], **kwargs: Any) -> None:  # noqa: ANN401
        """Render a template into a file whose name has been claimed."""
        super().write_file(name, template, context, self.settings["RELATIVE_URLS"], **kwargs)

    def write_feed(  # noqa: PLR0917 - Pelican's signature
        self,
        elements: list[Any],
        context: dict[str, Any],
        path: str | None = None,
        url: str | None = None,
        feed_type: str = "atom",
        override_output: bool = False,  # noqa: FBT001, FBT002 - Pelican's signature
        feed_title: str | None = None,
    ) -> Any:  # noqa: ANN401 - Pelican's feed
        """Write a feed, unless the site has it already."""
        shown = elements[: self.settings["FEED_MAX_ITEMS"]]
        key = digest(self.versions.of(list(shown)), repr((path, url, feed_type, feed_title)).encode())
        if path is None or self.claim(path, key, override=override_output):
            return super().write_feed(elements, context, path, url, feed_type, override_output, feed_title)
        return None

    def write_generated(self, name: str, key: bytes, generate: Callable[[], bytes]) -> None:
        """Write a file that no template makes, unless the site has it already."""
        if self.claim(name, key):
            self.write_bytes(name, generate())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file into the stage."""
        path = Path(sanitised_join(self.output_path, name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def copy(self, source: Path, name: str) -> None:
        """Copy a file, unless the site has a copy and the file was not touched since."""
        key = digest(b"copy", repr((str(source), stamp_at(source))).encode())
        self.write_generated(name, key, source.read_bytes)

    def page_key(
        self,
        fingerprints: Fingerprints,
        template: Template,
        context: Mapping[str, Any],
        arguments: Mapping[str, Any],
    ) -> bytes:
        """Return a fingerprint of all variables that a template may look up, in its arguments and in the context."""
        variables = self._variables_of(template.environment, template.name or "")
        if variables is None:
            variables = frozenset(arguments) | {name for name in context if name not in self.settings}
        parts = [(template.name or "").encode()]
        for name in sorted(variables):
            if name in arguments:
                value = arguments[name]
                key = value.content_key if isinstance(value, LazyPost) else fingerprints.of(value)
                parts += [name.encode(), key]
            elif name in context and (name not in self.settings or context[name] is not self.settings[name]):
                parts += [name.encode(), fingerprints.of(context[name])]
        return digest(*parts)

    def _variables_of(self, environment: Environment, template: str) -> frozenset[str] | None:
        if template not in self._template_variables:
            self._template_variables[template] = template_variables(environment, template)
        return self._template_variables[template]

    def _pagination_key(self, template_name: str | None) -> bytes:
        # How many numbered pages a list is cut into is known only when it is written: such a list is written each time.
        paginated = self.settings["DEFAULT_PAGINATION"] and template_name in self.settings["PAGINATED_TEMPLATES"]
        return os.urandom(12) if paginated else b""


def template_variables(environment: Environment, template: str) -> frozenset[str] | None:
    """Return every variable that a template may look up, also in templates that it extends, includes or imports.

    None if they can't be told: where another template's name is computed, or where there is no such template.
    """
    variables: set[str] = set()
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
        variables |= meta.find_undeclared_variables(tree)
        for other in meta.find_referenced_templates(tree):
            if other is None:
                return None
            todo.append(other)
    # Pelican makes `articles_page` from `articles`.
    return frozenset(variables | {match[1] for name in variables if (match := _PAGINATED.fullmatch(name))})
