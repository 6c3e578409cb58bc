"""Pelican's run with our generators and our writer, on all cores where there is a lot to write."""

from operator import attrgetter
from typing import Any

from pelican import Pelican
from pelican.generators import ArticlesGenerator, StaticGenerator
from pelican.plugins import signals

from feedback_app.publishing.files.write import Output
from feedback_app.publishing.incremental import MIN_PARALLEL_FILES, ListPiece, cpu_count, run_in_processes
from feedback_app.publishing.pelican.build import BUILD, Build
from feedback_app.publishing.pelican.bytecode_cache import TemplateBytecode
from feedback_app.publishing.pelican.compat import SharedMarkdownReader, forget_rendered_texts, generator_classes
from feedback_app.publishing.pelican.extra_files import write_extra_files
from feedback_app.publishing.pelican.generators import PostsGenerator
from feedback_app.publishing.pelican.log import log_messages, messages_of_child
from feedback_app.publishing.pelican.static_files import StaticFilesGenerator
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.posts.fingerprints import FingerprintCache, Fingerprints

# Our generators in the place of Pelican's.
_REPLACED = {ArticlesGenerator: PostsGenerator, StaticGenerator: StaticFilesGenerator}


class PelicanRunner(Pelican):
    """Pelican for one configuration; it builds again and again with the same generators."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Start Pelican and its plugins."""
        readers = dict.fromkeys(SharedMarkdownReader.file_extensions, SharedMarkdownReader)
        settings["READERS"] = {**settings["READERS"], **readers}
        self.build: Build = settings[BUILD]
        bytecode = TemplateBytecode(self.build.cache)
        settings["JINJA_ENVIRONMENT"] = {**settings["JINJA_ENVIRONMENT"], "bytecode_cache": bytecode}
        super().__init__(settings)
        self._generators: list[Any] = []
        self._readers_checked = False
        # The theme does not change while this lives, nor do its templates' variables.
        self._template_variables = self.build.cache.template_variables()
        # Fingerprints of lists by their posts' cards, as long as no card changes.
        self._lists: FingerprintCache = {}

    def write_changes(self, outputs: dict[str, Output]) -> KeyedWriter:
        """Write into the output path what the site (`outputs`) does not have, as `Pelican.run` writes all of it."""
        forget_rendered_texts()
        self._start_generators()
        for generator in self._generators:
            if hasattr(generator, "generate_context"):
                generator.generate_context()
            if hasattr(generator, "check_disabled_readers") and not self._readers_checked:
                generator.check_disabled_readers()
        # Once is enough: files that no reader reads stay unread.
        self._readers_checked = True
        posts_generators = [generator for generator in self._generators if isinstance(generator, PostsGenerator)]
        for generator in posts_generators:
            generator.resolve_links()
        signals.all_generators_finalized.send(self._generators)
        for generator in self._generators:
            if hasattr(generator, "refresh_metadata_intersite_links"):
                generator.refresh_metadata_intersite_links()
        if not all(generator.lists_unchanged for generator in posts_generators):
            self._lists = {}
        known_templates = len(self._template_variables)
        cards = Fingerprints(attrgetter("card_digest"), self._lists)
        writer = KeyedWriter(self.output_path, self.settings, outputs, self._template_variables, cards)
        self._write(writer, cpu_count() if self._posts_to_write(outputs) >= MIN_PARALLEL_FILES else 1)
        write_extra_files(self, self._generators, writer)
        signals.finalized.send(self)
        if len(self._template_variables) > known_templates:
            self.build.cache.save_template_variables(self._template_variables)
        return writer

    def _start_generators(self) -> None:
        """Give all generators a new context, as `Pelican.run` does."""
        context = self.settings.copy()
        context |= {
            "generated_content": {},
            "static_links": set(),
            "static_content": {},
            "localsiteurl": self.settings["SITEURL"],
        }
        if not self._generators:
            self._generators = [
                _REPLACED.get(kind, kind)(
                    context=context,
                    settings=self.settings,
                    path=self.path,
                    theme=self.theme,
                    output_path=self.output_path,
                )
                for kind in generator_classes(self)
            ]
        for generator in self._generators:
            generator.context = context

    def _posts_to_write(self, outputs: dict[str, Output]) -> int:
        index = self.build.index
        if index is None:
            return 0
        return len(index.read_paths if outputs else index.posts)

    def _write(self, writer: KeyedWriter, processes: int) -> None:
        def work(number: int, processes: int) -> tuple[Any, ...]:
            writer.process, writer.processes = number, processes
            is_child = processes > 1
            if is_child:
                # A connection belongs to one process.
                self.build.store.engine.dispose(close=False)
                self.build.cache.reopen_in_child()
            with messages_of_child(is_child=is_child) as messages:
                for generator in self._generators:
                    if hasattr(generator, "generate_output"):
                        generator.generate_output(writer)
            # A page's last key is known to the process that wrote it.
            claimed = {name: key for name, key in writer.keys.items() if name not in writer.written}
            written = {name: writer.keys[name] for name in writer.written}
            pieces = {name: tuple(piece) for name, piece in self.build.pieces.new.items()}
            return claimed, written, writer.full_reads, pieces, messages

        for claimed, written, full_reads, pieces, messages in run_in_processes(work, processes):
            writer.keys = {**claimed, **writer.keys, **written}
            writer.written |= written.keys()
            writer.full_reads |= full_reads
            self.build.pieces.new |= {name: ListPiece(*piece) for name, piece in pieces.items()}
            log_messages(messages)
