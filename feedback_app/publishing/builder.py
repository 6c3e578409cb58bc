"""Building the site: Pelican into a folder aside, then file by file into the output, only what differs.

What was live stays live until the new site is whole, and when the build is refused.
"""

import locale
import logging
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pelican.log
from jinja2 import TemplateSyntaxError
from pelican import Pelican
from pelican.settings import read_settings

from feedback_app.config import Settings
from feedback_app.db import Store
from feedback_app.publishing.files import Written, mirror
from feedback_app.publishing.plugin import BUILD, Build, PostRefused
from feedback_app.publishing.site import Site, forget_site, pages_by_thread, site_lock, write_site

CONFIGURATION = Path("pelicanconf.py")
THEME = Path("theme")
# What tells a built site from a folder in which a build has no business to remove anything.
MARK = ".undisclosed-site"


class BuildRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The site can't be built as it is; one line for each thing that is wrong. What was live is still live."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did: how many posts there are, what was written, how long it took, what it found odd."""

    posts: int
    files: Written
    seconds: float
    warnings: list[str]


def build_site(settings: Settings, store: Store, *, full: bool = False, configuration: Path = CONFIGURATION) -> Report:
    """Make the output right; with `full`, knowing nothing of what is there. Raises BuildRefused."""
    started = time.monotonic()
    with site_lock(settings):
        _check_output(settings)
        if full:
            forget_site(settings)
        stage = settings.instance / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        build = Build(store)
        warnings = _run_pelican(settings, build, stage, configuration)
        place = build.place
        assert place is not None  # noqa: S101 - the plugin has run
        build.announce()
        (stage / MARK).write_text(
            "A built site: what is not of its last build is removed from here.\n", encoding="utf-8"
        )
        files = mirror(stage, settings.output, keep=["pagefind"])
        pages = pages_by_thread(stage)
        # The store had never heard of a new post when the versions were read.
        versions = {path: build.versions.get(path, 0) for path in pages}
        write_site(settings, Site(place.site_url, place.site_name, place.zone.key, versions, pages))
        shutil.rmtree(stage, ignore_errors=True)
    return Report(len(build.posts), files, time.monotonic() - started, warnings)


def _check_output(settings: Settings) -> None:
    """Refuse an output where a build would remove what is not its own."""
    output = settings.output.resolve()
    sources = [settings.content.resolve(), THEME.resolve(), settings.instance.resolve(), Path.cwd()]
    holds = any(output == source or output in source.parents for source in sources)
    if holds or any(source in output.parents for source in sources[:2]):
        message = f"{settings.output}: the output can't be where the shop's own files are: name a folder of its own"
        raise BuildRefused(message)
    if output.is_dir() and any(output.iterdir()) and not (output / MARK).exists():
        message = f"{settings.output}: there are files here that no build has made: empty the folder, or name another"
        raise BuildRefused(message)


def _run_pelican(settings: Settings, build: Build, stage: Path, configuration: Path) -> list[str]:
    if not configuration.exists():
        message = f"{configuration}: there is no such file here: run this in the folder of your shop"
        raise BuildRefused(message)
    if not (settings.content / "posts").is_dir():
        message = f"{settings.content / 'posts'}: there is no such folder: posts live there"
        raise BuildRefused(message)
    with _listening() as heard:
        try:
            values = read_settings(
                str(configuration),
                override={
                    "PATH": str(settings.content.resolve()),
                    "OUTPUT_PATH": str(stage.resolve()),
                    "SITEURL": settings.site_url,
                    "FEED_DOMAIN": settings.site_url,
                    BUILD: build,
                },
            )
            Pelican(values).run()
        except PostRefused as error:
            heard.errors.append(str(error))
        except Exception as error:  # noqa: BLE001 - a post, a theme or the configuration can fail in any way there is
            heard.errors.append(f"{_place(error, configuration)}{type(error).__name__}: {error}")
    if heard.errors:
        lines = (_one_line(line, settings) for line in heard.errors)
        raise BuildRefused("\n".join(dict.fromkeys(lines)))
    return [_one_line(line, settings) for line in heard.warnings]


class _Heard(logging.Handler):
    """What Pelican says of the files it reads."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().removeprefix("Skipping ")
        if record.levelno < logging.ERROR:
            self.warnings.append(words)
            return
        # Pelican tells what it was about, and keeps the reason to itself.
        reason = sys.exc_info()[1]
        self.errors.append(f"{words.rstrip()}: {reason}" if reason else words)


@contextmanager
def _listening() -> Iterator[_Heard]:
    heard = _Heard()
    # Pelican sets the whole process' locale, and with it the encoding of files that are opened without saying one.
    before = locale.setlocale(locale.LC_ALL)
    logger = logging.getLogger("pelican")
    propagate, quiet = logger.propagate, pelican.log.console.quiet
    logger.addHandler(heard)
    logger.propagate, pelican.log.console.quiet = False, True
    try:
        yield heard
    finally:
        locale.setlocale(locale.LC_ALL, before)
        logger.removeHandler(heard)
        logger.propagate, pelican.log.console.quiet = propagate, quiet


def _place(error: Exception, configuration: Path) -> str:
    """The line of the theme or of the configuration where something broke, if that is where it broke."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename}, line {error.lineno}: "
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".html") or Path(frame.filename).name == configuration.name:
            return f"{frame.filename}, line {frame.lineno}: "
    return ""


def _one_line(words: str, settings: Settings) -> str:
    words = " ".join(words.split()).replace(f"{settings.content.resolve()}/", f"{settings.content}/")
    return words.replace(f"{Path.cwd()}/", "")
