"""All that is private or patched in Pelican, Python-Markdown and feedgenerator, each with its reason.

tests/test_library_internals.py fails with the reason when a new version of a library no longer has one of the names.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pelican.log
from markdown import Markdown
from pelican import Pelican
from pelican.contents import Article, Content, Page, Static
from pelican.generators import Generator
from pelican.readers import MarkdownReader


class Feed(Protocol):
    """What is used of a feed of feedgenerator, which ships no types."""

    items: list[dict[str, Any]]
    latest_post_date: Callable[[], datetime]


class SharedMarkdownReader(MarkdownReader):
    """Pelican's Markdown reader with one Markdown instance for all files.

    Pelican makes an instance for each file, which takes about as long as converting a short post. `read` is Pelican's
    own otherwise, and so it needs what that keeps in `_md` and `_source_path`, and `_parse_metadata`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """Take Pelican's settings."""
        super().__init__(settings)
        self._shared: Markdown | None = None
        self._head_parser: Any = None

    def read(self, source_path: str) -> tuple[str, dict[str, Any]]:
        """Return a file's text as HTML, and its head."""
        self._source_path = source_path
        md = self._shared
        if md is None:
            md = self._shared = Markdown(**self.settings["MARKDOWN"])
            self._head_parser = md.preprocessors["meta"]
        elif "meta" not in md.preprocessors:
            # `_parse_metadata` takes it out and does not put it back. 27 is Markdown's own priority for it.
            md.preprocessors.register(self._head_parser, "meta", 27)
        md.reset()
        self._md = md
        # Some editors put a byte order mark at a file's start.
        content = md.convert(Path(source_path).read_text(encoding="utf-8-sig"))
        return content, self._parse_metadata(getattr(md, "Meta", {}))


@contextmanager
def quiet_console() -> Iterator[None]:
    """Keep Pelican's log off the terminal: its handler writes to a console of its own, whatever `logging` is told."""
    before = pelican.log.console.quiet
    pelican.log.console.quiet = True
    try:
        yield
    finally:
        pelican.log.console.quiet = before


def forget_rendered_texts() -> None:
    """Empty the caches of `get_content` and `get_summary`: Pelican fills them for one run and never empties them.

    In a builder that goes on running, each text would keep all objects of its build alive.
    """
    for method in ("get_content", "get_summary"):
        vars(Content)[method].cache.clear()


def unresolved_text(content: Article | Page) -> str:
    """Return a text's HTML before Pelican replaces its internal links: `content.content` has them replaced."""
    return content._content or ""  # noqa: SLF001 - Pelican has no public name for it


def replace_unresolved_text(content: Article | Page, text: str) -> None:
    """Replace a text's HTML before Pelican replaces its internal links."""
    content._content = text  # noqa: SLF001 - the same


def internal_links(content: Article | Page) -> list[list[str]]:
    """Return kind and value of the links to other files of the content, found by Pelican's own pattern.

    Another pattern would miss what the setting INTRASITE_LINK_REGEX allows.
    """
    text = unresolved_text(content)
    if "{" not in text and "|" not in text and not any("{" in str(value) for value in content.metadata.values()):
        return []
    texts = [text, *(value for value in content.metadata.values() if isinstance(value, str))]
    pattern = content._get_intrasite_link_regex()  # noqa: SLF001 - Pelican's own
    return [list(link) for link in sorted({(m["what"], m["value"]) for text in texts for m in pattern.finditer(text)})]


def pin_file(file: Static) -> None:
    """Keep a file where it is, whichever text with an `{attach}` link to it Pelican renders first.

    Which posts are rendered differs from build to build; the address of a file must not.
    """
    # Pelican moves no file whose address was asked for ...
    _ = file.url
    # ... but warns each time that it does not.
    file.attach_to = _do_nothing


def _do_nothing(_content: object) -> None:
    """Stand in for `Static.attach_to`."""


def generator_classes(pelican: Pelican) -> list[type]:
    """Return the generators of a run: `Pelican.run` asks for them and cannot be called twice on the same ones."""
    classes: list[type] = pelican._get_generator_classes()  # noqa: SLF001 - Pelican has no public name for it
    return classes


def publish_to_templates(generator: Generator, names: tuple[str, ...]) -> None:
    """Put these attributes of a generator into the templates' context, as Pelican's own `generate_context` does."""
    generator._update_context(names)  # noqa: SLF001 - for subclasses


def note_unreadable_file(generator: Generator, path: str) -> None:
    """Tell a generator of a file that could not be read, so that Pelican does not look for it as a static file."""
    generator._add_failed_source_path(path)  # noqa: SLF001 - for subclasses


def is_included(generator: Generator, path: Path) -> bool:
    """Whether the settings let a file through (IGNORE_FILES)."""
    return bool(generator._include_path(str(path), extensions=False))  # noqa: SLF001 - for subclasses


def set_feed_date(feed: Feed, date: datetime) -> None:
    """Fix the date of a feed without entries: feedgenerator would take the time of the build, and no two be equal."""
    feed.latest_post_date = lambda: date
