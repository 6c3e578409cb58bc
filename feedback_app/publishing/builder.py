"""Building the site: Pelican into a folder aside, then file by file into the output, only what differs.

What was live stays live until the new site is whole, and when the build is refused.
"""

import errno
import locale
import logging
import secrets
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pelican.log
from jinja2 import TemplateSyntaxError
from pelican.settings import read_settings

from feedback_app.config import Settings
from feedback_app.db import Store
from feedback_app.publishing.bake import counted
from feedback_app.publishing.bindery import Bindery, output_of
from feedback_app.publishing.dressing import prepare
from feedback_app.publishing.files import Written, files_below, mirror, place, verified
from feedback_app.publishing.forks import ChildFailed
from feedback_app.publishing.guard import SHOP, Desk
from feedback_app.publishing.leaks import Leak
from feedback_app.publishing.library import PostRefused
from feedback_app.publishing.masking import BadAliases, read_aliases
from feedback_app.publishing.pictures import BadPicture
from feedback_app.publishing.run import BUILD, Build
from feedback_app.publishing.shelf import Output, Shelf
from feedback_app.publishing.site import keep_place, site_lock
from feedback_app.publishing.sources import digest
from feedback_app.publishing.threads import rewrite
from feedback_app.publishing.writer import KeyedWriter

CONFIGURATION = Path("pelicanconf.py")
THEME = Path("theme")
# What tells a built site from a folder in which a build has no business to remove anything.
MARK = ".undisclosed-site"
# Folders of the output that are somebody else's.
KEPT = ("pagefind",)
# Libraries that make pages and pictures.
LIBRARIES = ("pelican", "markdown", "jinja2", "feedgenerator", "nh3", "pillow")
OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}


class BuildRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The site can't be built as it is; one line for each thing that is wrong. What was live is still live."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did: how many posts there are, what was written, how long it took, what it found odd."""

    posts: int
    files: Written
    seconds: float
    warnings: list[str]


class Builder:
    """Builds one shop's site, again and again, knowing what it knew the last time."""

    def __init__(self, settings: Settings, store: Store, configuration: Path = CONFIGURATION) -> None:
        """Nothing is read yet."""
        self.settings = settings
        self.store = store
        self.configuration = configuration
        self._desk = Desk(settings, store)
        self._bindery: Bindery | None = None
        self._build: Build | None = None
        self._key = ""
        self._generation = ""
        self._outputs: dict[str, Output] = {}

    def build(self, *, full: bool = False) -> Report:
        """Make the output right; with `full`, knowing nothing of what is there. Raises BuildRefused."""
        started = time.monotonic()
        with site_lock(self.settings):
            _check_output(self.settings)
            try:
                try:
                    return self._in_place(started, full=full)
                except FileNotFoundError:
                    # Somebody took away a file that was known to be there: look at everything, once.
                    self.close()
                    return self._in_place(started, full=full)
            except BaseException:
                # Whatever was in the making: the next build looks at everything again.
                self.close()
                raise

    def close(self) -> None:
        """Forget, and put the shelf away."""
        if self._build is not None:
            self._build.shelf.close()
        self._build = self._bindery = None
        self._generation = ""

    def _in_place(self, started: float, *, full: bool) -> Report:
        settings = self.settings
        stage = settings.instance / "stage"
        shutil.rmtree(stage, ignore_errors=True)
        with _listening() as heard:
            try:
                self._desk.refuse_other_leaks()
                build = self._begin(stage, heard, full=full)
                stale = build.begin(build.shelf.threads())
                assert self._bindery is not None  # noqa: S101 - begun
                writer = self._bindery.bind(self._outputs)
            except (PostRefused, ChildFailed, BadAliases, BadPicture, Leak) as error:
                heard.errors += str(error).splitlines()
            except BuildRefused:
                raise
            except OSError as error:
                if error.errno in OUT_OF_SPACE:
                    raise
                heard.errors.append(_said(error, self.configuration))
            except Exception as error:  # noqa: BLE001 - a post, a theme or the configuration can fail in any way
                heard.errors.append(_said(error, self.configuration))
        if heard.errors:
            raise BuildRefused("\n".join(dict.fromkeys(_one_line(line, settings) for line in heard.errors)))
        build.announce()
        files = self._apply(build, writer, stage, stale)
        shutil.rmtree(stage, ignore_errors=True)
        warnings = [_one_line(line, settings) for line in heard.warnings]
        return Report(len(build.posts), files, time.monotonic() - started, warnings)

    def _begin(self, stage: Path, heard: "_Heard", *, full: bool) -> Build:
        settings, configuration = self.settings, self.configuration
        if not configuration.exists():
            message = f"{configuration}: there is no such file here: run this in the folder of your shop"
            raise BuildRefused(message)
        if not (settings.content / "posts").is_dir():
            message = f"{settings.content / 'posts'}: there is no such folder: posts live there"
            raise BuildRefused(message)
        key = digest(_site_key(configuration).encode(), repr(read_aliases(settings.instance)).encode()).hex()
        build = self._build
        if build is not None and (full or not self._still_knows(build, key)):
            self.close()
            build = None
        if build is None:
            build = self._build = Build(self.store, settings, Shelf.at(settings))
            values = read_settings(
                str(configuration),
                override={
                    "PATH": str(settings.content.resolve()),
                    "OUTPUT_PATH": str(stage.resolve()),
                    "SITEURL": settings.site_url,
                    "FEED_DOMAIN": settings.site_url,
                    BUILD: build,
                    SHOP: self._desk,
                },
            )
            prepare(values, settings)
            self._key = key
            known = digest(key.encode(), repr(_plain_settings(values)).encode()).hex()
            if full or build.shelf.fact("known") != known:
                build.shelf.clear()
                build.shelf.note(known=known)
            self._bindery = Bindery(values)
            if heard.errors:
                # A plugin that can't be loaded.
                raise BuildRefused("\n".join(dict.fromkeys(_one_line(line, settings) for line in heard.errors)))
            self._outputs = verified(build.shelf.outputs(), settings.output)
        return build

    def _still_knows(self, build: Build, key: str) -> bool:
        """Whether what was known after the latest build is all there is to know: nobody else has built since."""
        there = (self.settings.output / MARK).exists()
        return there and key == self._key and build.shelf.fact("generation") == self._generation

    def _apply(self, build: Build, writer: KeyedWriter, stage: Path, stale: set[str]) -> Written:
        """Put what was made in the place of what was there, and remember it."""
        settings, shelf = self.settings, build.shelf
        put_mark(stage)
        made = list(files_below(stage))
        wanted = {**writer.wanted, **{name: writer.wanted.get(name, b"") for name in made}}
        if not self._outputs:
            written = mirror(stage, settings.output, keep=KEPT)
            gone: list[str] = []
        else:
            gone = sorted(self._outputs.keys() - wanted.keys())
            written = place(stage, settings.output, made, gone, posts={path.lstrip("/") for path in build.posts})
            written.unchanged += len(wanted) - len(made)
        new = {name: output_of(settings.output / name, wanted[name]) for name in made}
        shows = {name: counted((stage / name).read_text(encoding="utf-8")) for name in made if name.endswith(".html")}
        shelf.keep_outputs(new, gone, shows)
        self._outputs = {name: output for name, output in self._outputs.items() if name in wanted} | new
        if build.place is not None:
            keep_place(shelf, build.place)
        if build.fragments:
            shelf.keep_fragments((name, *kept) for name, kept in build.fragments.items())
        self._follow(build, stale)
        self._generation = secrets.token_hex(8)
        shelf.note(key=self._key, generation=self._generation)
        return written

    def _follow(self, build: Build, stale: set[str]) -> None:
        """Threads that changed while nobody built are brought up to date where their pages were not made anew."""
        shelf = build.shelf
        shown = shelf.threads()
        # The store had never heard of a new post when the versions were read.
        now = {path: (build.versions.get(path, 0), build.counts.get(path, 0)) for path in build.posts}
        old = {path: build.versions[path] for path in stale if path in shown and path in build.posts}
        shelf.keep_threads({path: kept for path, kept in now.items() if shown.get(path) != kept and path not in old})
        shelf.forget_threads(path for path in shown if path not in now)
        if old:
            with build.store.reading() as session:
                rewrite(self.settings, session, shelf, old)


def build_site(settings: Settings, store: Store, *, full: bool = False, configuration: Path = CONFIGURATION) -> Report:
    """Make the output right once; with `full`, knowing nothing of what is there. Raises BuildRefused."""
    builder = Builder(settings, store, configuration)
    try:
        return builder.build(full=full)
    finally:
        builder.close()


def _site_key(configuration: Path) -> str:
    """A fingerprint of all that every page depends on: configuration, theme, program."""
    folder = configuration.resolve().parent
    theme = sorted(path for path in (folder / THEME / "templates").rglob("*") if path.is_file())
    files = [*sorted(folder.glob("*conf.py")), *theme]
    parts = [part for path in files for part in (str(path).encode(), path.read_bytes())]
    return digest(PROGRAM, *parts).hex()


def _plain_settings(values: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(
        (name, _plain(value))
        for name, value in values.items()
        if name not in {BUILD, SHOP, "OUTPUT_PATH", "CACHE_PATH"}
    )


def _plain(value: Any) -> str:  # noqa: ANN401 - whatever a setting holds
    match value:
        case dict():
            return repr(sorted((str(name), _plain(item)) for name, item in value.items()))
        case list() | tuple():
            return repr([_plain(item) for item in value])
        case set() | frozenset():
            return repr(sorted(_plain(item) for item in value))
    return getattr(value, "__qualname__", "") if callable(value) else str(value)


def _program() -> bytes:
    """The program as it is: its own files, and the libraries that make pages."""
    package = Path(__file__).parents[1]
    folders = [package / name for name in ("comments", "publishing", "templates")]
    own = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    libraries = [
        f"{name} {version(name)}" for name in ("pelican", "markdown", "jinja2", "feedgenerator", "nh3", "pillow")
    ]
    sources = [part.read_bytes() for part in sorted(own) if part.suffix in {".py", ".html", ".xml"}]
    return digest(repr(libraries).encode(), *sources)


def put_mark(stage: Path) -> None:
    """Put what tells a built site onto the stage."""
    stage.mkdir(parents=True, exist_ok=True)
    (stage / MARK).write_text("A built site: what is not of its last build is removed from here.\n", encoding="utf-8")


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


def _said(error: Exception, configuration: Path) -> str:
    return f"{_place(error, configuration)}{type(error).__name__}: {error}"


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


PROGRAM = _program()
