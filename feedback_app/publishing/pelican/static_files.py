"""Pelican's generator for files that are handed out as they are: pictures, and the theme's own."""

from pathlib import Path

from pelican.generators import StaticGenerator

from feedback_app.images.pictures import RASTER, clean_copy
from feedback_app.publishing.content.leak_guard import desk_of
from feedback_app.publishing.files.assets import KINDS, hashed_name
from feedback_app.publishing.pelican.context import BUILD
from feedback_app.publishing.pelican.hooks import brought, cache_of
from feedback_app.publishing.pelican.writer import KeyedWriter


class StaticFilesGenerator(StaticGenerator):
    """Copies pictures and the theme's own files, those that were touched."""

    def generate_output(self, writer: KeyedWriter) -> None:
        """Copy what is new."""
        for place in self.settings["THEME_STATIC_PATHS"]:
            root = Path(self.theme) / place
            for path in sorted(root.rglob("*")):
                if path.is_file() and self._include_path(str(path), extensions=False):
                    folder, name = self.settings["THEME_STATIC_DIR"], path.relative_to(root).as_posix()
                    # Under its plain name for the app's pages, whose answers say nothing of the site's files.
                    writer.copy(path, f"{folder}/{name}")
                    if path.suffix in KINDS:
                        writer.copy(path, f"{folder}/{hashed_name(name, path.read_bytes())}")
        cache = cache_of(desk_of(self.settings).settings)
        for static in sorted(self.context["staticfiles"], key=lambda static: str(static.save_as)):
            source = Path(self.path) / static.source_path
            if not source.is_file():
                # Somebody links to what is not there: that is told with its line, as every dead link is.
                continue
            # What cameras and editors write into a picture is published nowhere.
            raster = source.suffix.lower() in RASTER
            writer.copy(clean_copy(source, cache) if raster else source, static.save_as)
        library = self.settings[BUILD].library
        pages = [*self.context.get("pages", ()), *self.context.get("hidden_pages", ())]
        for name, file in sorted(brought([*library.listed.values(), *pages]).items()):
            writer.copy(file, name)
