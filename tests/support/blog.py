"""A small blog to build, in a folder of its own, with the real theme."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.publishing.builder import BuildReport, build_site
from feedback_app.publishing.live.update import catch_up
from tests.support.shop import ROOT

POST = "Title: {title}\nDate: {date}\nSlug: {slug}\nTags: {tags}\nStatus: published\nSummary: In short.\n\n{text}\n"


@dataclass(frozen=True, slots=True)
class Blog:
    """A blog, its store and its output."""

    folder: Path
    settings: Settings
    store: Store

    @property
    def output(self) -> Path:
        """The built site."""
        return self.settings.output

    def write(
        self,
        slug: str,
        title: str = "",
        date: str = "2007-10-10 09:41",
        tags: str = "socks",
        text: str = "Some words.",
    ) -> Path:
        """Write a post; returns its file."""
        file = self.settings.content / "posts" / f"{slug.rpartition('/')[2]}.md"
        file.write_text(POST.format(title=title or slug, date=date, slug=slug, tags=tags, text=text), encoding="utf-8")
        return file

    def build(self, *, full: bool = False) -> BuildReport:
        """Build the site."""
        return build_site(self.settings, self.store, full=full, configuration=self.folder / "pelicanconf.py")

    def follow(self) -> int:
        """Rewrite what changed in the store."""
        return catch_up(self.settings, self.store)

    def built_elsewhere(self) -> dict[str, bytes]:
        """What a full build from nothing makes of the same store and content, in another folder."""
        elsewhere = self.folder / "elsewhere"
        shutil.rmtree(elsewhere, ignore_errors=True)
        # The address keys are in the settings; only the output and what is known of it are apart.
        settings = self.settings.model_copy(update={"output": elsewhere / "output", "instance": elsewhere / "instance"})
        build_site(settings, self.store, full=True, configuration=self.folder / "pelicanconf.py")
        return tree(elsewhere / "output")

    def page(self, name: str) -> str:
        """A file of the built site."""
        return (self.output / name).read_text(encoding="utf-8")


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def make_blog(folder: Path, settings: Settings, store: Store) -> Blog:
    """A blog with three posts, one page, and the project's theme."""
    for name in ("posts", "pages"):
        (settings.content / name).mkdir(parents=True)
    shutil.copytree(ROOT / "content" / "images", settings.content / "images")
    shutil.copytree(ROOT / "theme", folder / "theme")
    shutil.copy(ROOT / "pelicanconf.py", folder)
    (settings.content / "pages" / "about.md").write_text("Title: About\nSlug: about\n\nUs.\n", encoding="utf-8")
    blog = Blog(folder, settings, store)
    blog.write("biscuit", "Biscuit, after whom", "2007-06-21 16:04", "shop, biscuit")
    blog.write("opps", "Opps!", tags="apology, privacy")
    blog.write("pie", "Thanksgiving hours, and a word about pie", "2007-11-16 12:00", "shop")
    return blog
