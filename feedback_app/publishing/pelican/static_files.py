"""Pelican's generator of files that are copied as they are: pictures, and the theme's own files."""

from pathlib import Path

from pelican.generators import StaticGenerator

from feedback_app.images.pictures import RASTER, clean_copy
from feedback_app.publishing.content.leak_guard import desk_of
from feedback_app.publishing.files.assets import KINDS, hashed_name
from feedback_app.publishing.pelican.build import BUILD
from feedback_app.publishing.pelican.compat import is_included
from feedback_app.publishing.pelican.hooks import made_pictures, picture_folder
from feedback_app.publishing.pelican.writer import KeyedWriter


class StaticFilesGenerator(StaticGenerator):
    """Copies the files that have changed."""

    def generate_output(self, writer: KeyedWriter) -> None:
        """Copy the theme's files, the files that posts link to, and the sizes made of pictures."""
        self._copy_theme(writer)
        cache = picture_folder(desk_of(self.settings).settings)
        for static in sorted(self.context["staticfiles"], key=lambda static: str(static.save_as)):
            source = Path(self.path) / static.source_path
            if not source.is_file():
                # A dead link: the checks report it, with its line.
                continue
            # A picture is copied without what cameras and editors write into it.
            raster = source.suffix.lower() in RASTER
            writer.copy(clean_copy(source, cache) if raster else source, static.save_as)
        index = self.settings[BUILD].index
        pages = [*self.context.get("pages", ()), *self.context.get("hidden_pages", ())]
        for name, file in sorted(made_pictures([*index.posts.values(), *pages]).items()):
            writer.copy(file, name)

    def _copy_theme(self, writer: KeyedWriter) -> None:
        target = self.settings["THEME_STATIC_DIR"]
        for folder in self.settings["THEME_STATIC_PATHS"]:
            root = Path(self.theme) / folder
            for path in sorted(root.rglob("*")):
                if path.is_file() and is_included(self, path):
                    name = path.relative_to(root).as_posix()
                    # The app's pages use the plain names: they know nothing of the built site.
                    writer.copy(path, f"{target}/{name}")
                    if path.suffix in KINDS:
                        writer.copy(path, f"{target}/{hashed_name(name, path.read_bytes())}")
