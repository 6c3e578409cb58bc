"""Pelican's run, with our generators and our writer, on all cores where there is a lot to write."""

import logging
from operator import attrgetter
from pathlib import Path
from typing import Any

from pelican import Pelican
from pelican.contents import Content
from pelican.generators import ArticlesGenerator, StaticGenerator
from pelican.plugins import signals

from feedback_app.publishing.files.write import Output
from feedback_app.publishing.incremental.cache import Piece
from feedback_app.publishing.incremental.process_pool import cores, shared
from feedback_app.publishing.pelican.bytecode_cache import CompiledTemplates
from feedback_app.publishing.pelican.context import BUILD, Build
from feedback_app.publishing.pelican.generators import PostsGenerator
from feedback_app.publishing.pelican.hooks import write_extras
from feedback_app.publishing.pelican.post_index import WORTH_SHARING, collecting
from feedback_app.publishing.pelican.readers import OneMarkdown
from feedback_app.publishing.pelican.static_files import StaticFilesGenerator
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.posts.fingerprints import Fingerprints, Known

_OURS = {ArticlesGenerator: PostsGenerator, StaticGenerator: StaticFilesGenerator}

log = logging.getLogger("pelican")


class PelicanRunner(Pelican):
    """Pelican for one configuration; it can bind again and again."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """As Pelican is made; the plugins are told."""
        settings["READERS"] = {**settings["READERS"], **dict.fromkeys(OneMarkdown.file_extensions, OneMarkdown)}
        self.build: Build = settings[BUILD]
        compiled = CompiledTemplates(self.build.shelf)
        settings["JINJA_ENVIRONMENT"] = {**settings["JINJA_ENVIRONMENT"], "bytecode_cache": compiled}
        super().__init__(settings)
        self._generators: list[Any] = []
        self._checked = False
        # The theme is the same for as long as this lives, and so are the names that its templates mention.
        self._names = self.build.shelf.names()
        # What lists of cards say; for as long as no card is another.
        self._lists: Known = {}

    def bind(self, known: dict[str, Output]) -> KeyedWriter:
        """Write into the output path what the site does not have."""
        _forget_texts()
        context = self.settings.copy()
        context |= {
            "generated_content": {},
            "static_links": set(),
            "static_content": {},
            "localsiteurl": self.settings["SITEURL"],
        }
        self._begin(context)
        for generator in self._generators:
            if hasattr(generator, "generate_context"):
                generator.generate_context()
            # Which kinds of files nobody reads does not change while this lives.
            if hasattr(generator, "check_disabled_readers") and not self._checked:
                generator.check_disabled_readers()
        self._checked = True
        for generator in self._generators:
            if isinstance(generator, PostsGenerator):
                generator.settle()
        signals.all_generators_finalized.send(self._generators)
        for generator in self._generators:
            if hasattr(generator, "refresh_metadata_intersite_links"):
                generator.refresh_metadata_intersite_links()
        before = len(self._names)
        if not all(generator.as_before for generator in self._generators if isinstance(generator, PostsGenerator)):
            self._lists = {}
        faces = Fingerprints(attrgetter("face"), self._lists)
        writer = KeyedWriter(self.output_path, self.settings, known, self._names, faces)
        library = self.build.library
        fresh = 0 if library is None else len(library.fresh if known else library.listed)
        self._write(writer, cores() if fresh >= WORTH_SHARING else 1)
        write_extras(self, self._generators, writer)
        signals.finalized.send(self)
        if len(self._names) > before:
            self.build.shelf.keep_names(self._names)
        return writer

    def _begin(self, context: dict[str, Any]) -> None:
        if not self._generators:
            for kind in self._get_generator_classes():
                generator = _OURS.get(kind, kind)(
                    context=context,
                    settings=self.settings,
                    path=self.path,
                    theme=self.theme,
                    output_path=self.output_path,
                )
                self._generators.append(generator)
        for generator in self._generators:
            generator.context = context

    def _write(self, writer: KeyedWriter, shares: int) -> None:
        def work(share: int, shares: int) -> tuple[Any, ...]:
            writer.share, writer.shares = share, shares
            if shares > 1:
                # A connection is its process' own.
                self.build.store.engine.dispose(close=False)
                self.build.shelf.reopen()
            with collecting(alone=shares > 1) as said:
                for generator in self._generators:
                    if hasattr(generator, "generate_output"):
                        generator.generate_output(writer)
            # Only who made a page knows what it is made of.
            others = {name: key for name, key in writer.wanted.items() if name not in writer.made}
            own = {name: writer.wanted[name] for name in writer.made}
            pieces = {name: tuple(piece) for name, piece in self.build.pieces.items()}
            return others, own, writer.asked, pieces, said

        for others, own, asked, pieces, said in shared(work, shares):
            writer.wanted = {**others, **writer.wanted, **own}
            writer.made |= own.keys()
            writer.asked |= asked
            self.build.pieces |= {name: Piece(*piece) for name, piece in pieces.items()}
            for level, words in said:
                log.log(level, "%s", words)


def _forget_texts() -> None:
    """Pelican keeps every text that it has shown for good, and with each all that its build knew."""
    for kept in ("get_content", "get_summary"):
        vars(Content)[kept].cache.clear()


def output_of(path: Path, key: bytes) -> Output:
    """A file of the site as it is now."""
    status = path.stat()
    return Output(key, status.st_mtime_ns, status.st_size, status.st_ino)
