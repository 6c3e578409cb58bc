"""Building the site: Pelican into a folder aside, then file by file into the output, only what differs.

What was live stays live until the new site is whole, and when the build is refused.
"""

import errno
import secrets
import shutil
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pelican.settings import read_settings
from sqlalchemy.exc import DBAPIError

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.images.pictures import BadPicture
from feedback_app.publishing.content.address_leaks import Leak
from feedback_app.publishing.content.checks import check_files
from feedback_app.publishing.content.leak_guard import SHOP, LeakGuard
from feedback_app.publishing.files.assets import lasting
from feedback_app.publishing.files.gzip import ENDING, compressed, worth_it
from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.files.swap import place_together, stage_of, swap
from feedback_app.publishing.files.write import Output, WriteCounts, files_below, place, verified
from feedback_app.publishing.incremental.cache import BuildCache
from feedback_app.publishing.incremental.output_lock import keep_place, output_lock
from feedback_app.publishing.incremental.process_pool import ChildDied, ChildFailed, cores, shared
from feedback_app.publishing.incremental.site_key import THEME, plain_settings, site_key
from feedback_app.publishing.live.update import rewrite
from feedback_app.publishing.masking import BadAliases, read_aliases
from feedback_app.publishing.pelican.context import BUILD, Build
from feedback_app.publishing.pelican.hooks import prepare
from feedback_app.publishing.pelican.log import DEAD, Heard, listening, one_line, said
from feedback_app.publishing.pelican.post_index import WORTH_SHARING, PostRefused
from feedback_app.publishing.pelican.runner import PelicanRunner, output_of
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.render.fragments import counted

CONFIGURATION = Path("pelicanconf.py")
# What tells a built site from a folder in which a build has no business to remove anything.
MARK = ".undisclosed-site"
# Folders of the output that are somebody else's.
KEPT = ("pagefind",)
# The key of what stands beside a file that has none.
COMPRESSED = b"gz"
OUT_OF_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES}


class BuildRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The site can't be built as it is; one line for each thing that is wrong. What was live is still live."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did: how many posts there are, what was written, how long it took, what it found odd."""

    posts: int
    files: WriteCounts
    seconds: float
    warnings: list[str]


class Builder:
    """Builds one shop's site, again and again, knowing what it knew the last time."""

    def __init__(self, settings: Settings, store: Store, configuration: Path = CONFIGURATION) -> None:
        """Nothing is read yet."""
        self.settings = settings
        self.store = store
        self.configuration = configuration
        self._desk = LeakGuard(settings, store)
        self._bindery: PelicanRunner | None = None
        self._build: Build | None = None
        self._key = ""
        self._generation = ""
        self._outputs: dict[str, Output] = {}

    def build(self, *, full: bool = False, named: Collection[Path] | None = None) -> BuildReport:
        """Make the output right; with `full`, knowing nothing of what is there. Raises BuildRefused.

        Whoever knows which files can have changed says it with their names: ten thousand others are not looked at.
        """
        started = time.monotonic()
        with output_lock(self.settings):
            _check_output(self.settings)
            try:
                try:
                    return self._in_place(started, full=full, named=named)
                except FileNotFoundError:
                    # Somebody took away a file that was known to be there: look at everything, once.
                    self.close()
                    return self._in_place(started, full=full)
            except sqlite3.Error as error:
                # No room, most likely, for what is known of the site.
                self.close()
                raise OSError(errno.EIO, str(error), str(self.settings.instance / "site.db")) from error
            except BaseException as error:
                if isinstance(error, OSError) and not error.filename:
                    # A file that can't grow does not say which it is.
                    error.filename = str(self.settings.output)
                # Whatever was in the making: the next build looks at everything again.
                self.close()
                raise

    def close(self) -> None:
        """Forget, and put the shelf away."""
        if self._build is not None:
            self._build.shelf.close()
        self._build = self._bindery = None
        self._generation = ""

    def _in_place(self, started: float, *, full: bool, named: Collection[Path] | None = None) -> BuildReport:
        settings = self.settings
        stage = stage_of(settings.output, settings.instance)
        shutil.rmtree(stage, ignore_errors=True)
        with listening() as heard:
            try:
                others = self._desk.refuse_other_leaks()
                build = self._begin(stage, heard, full=full)
                build.named = named
                stale = build.begin()
                assert self._bindery is not None  # noqa: S101 - begun
                writer = self._bindery.bind(self._outputs)
            except (PostRefused, ChildFailed, BadAliases, BadPicture, Leak) as error:
                heard.errors += str(error).splitlines()
            except (BuildRefused, DBAPIError):
                # A store that does not answer is nothing that is wrong with the site.
                raise
            except OSError as error:
                if error.errno in OUT_OF_SPACE or isinstance(error, ChildDied):
                    raise
                heard.errors.append(said(error, self.configuration))
            except Exception as error:  # noqa: BLE001 - a post, a theme or the configuration can fail in any way
                heard.errors.append(said(error, self.configuration))
        if heard.errors:
            raise BuildRefused("\n".join(dict.fromkeys(one_line(line, settings) for line in heard.errors)))
        build.announce()
        files = self._apply(build, writer, stage, stale)
        shutil.rmtree(stage, ignore_errors=True)
        checked = self._checked(build, others)
        # What is told with its line is told once.
        lines = "\n".join(checked)
        unplaced = [line for line in heard.warnings if not (link := DEAD.match(line)) or link[1] not in lines]
        warnings = [one_line(line, settings) for line in [*unplaced, *checked]]
        return BuildReport(len(build.posts), files, time.monotonic() - started, warnings)

    def _begin(self, stage: Path, heard: Heard, *, full: bool) -> Build:
        settings, configuration = self.settings, self.configuration
        if not configuration.exists():
            message = f"{configuration}: there is no such file here: run this in the folder of your shop"
            raise BuildRefused(message)
        if not (settings.content / "posts").is_dir():
            message = f"{settings.content / 'posts'}: there is no such folder: posts live there"
            raise BuildRefused(message)
        key = digest(site_key(configuration).encode(), repr(read_aliases(settings.instance)).encode()).hex()
        build = self._build
        if build is not None and (full or not self._still_knows(build, key)):
            self.close()
            build = None
        if build is None:
            build = self._build = Build(self.store, settings, BuildCache.at(settings))
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
            known = digest(
                key.encode(), repr(plain_settings(values, without={BUILD, SHOP, "OUTPUT_PATH", "CACHE_PATH"})).encode()
            ).hex()
            if full or build.shelf.fact("known") != known:
                build.shelf.clear()
                build.shelf.note(known=known)
            self._bindery = PelicanRunner(values)
            if heard.errors:
                # A plugin that can't be loaded.
                raise BuildRefused("\n".join(dict.fromkeys(one_line(line, settings) for line in heard.errors)))
            self._outputs = verified(build.shelf.outputs(), settings.output)
        return build

    def _still_knows(self, build: Build, key: str) -> bool:
        """Whether what was known after the latest build is all there is to know: nobody else has built since."""
        there = (self.settings.output / MARK).exists()
        return there and key == self._key and build.shelf.fact("generation") == self._generation

    def _apply(self, build: Build, writer: KeyedWriter, stage: Path, stale: set[str]) -> WriteCounts:
        """Put what was made in the place of what was there, and remember it."""
        settings, shelf = self.settings, build.shelf
        put_mark(stage)
        made = list(files_below(stage))
        wanted = {**writer.wanted, **{name: writer.wanted.get(name, b"") for name in made}}
        compress = bool(writer.settings.get("PRECOMPRESS"))
        if compress:
            self._compress(stage, made, wanted)
        if not self._outputs:
            gone: list[str] = []
            there = files_below(settings.output) if settings.output.exists() else ()
            last = lasting(settings.instance, [name for name in there if name not in wanted], now=clock.now())
            written = swap(stage, settings.output, KEPT, last)
        else:
            old = self._outputs.keys() - wanted.keys()
            last = lasting(settings.instance, old, now=clock.now())
            gone = sorted(old - last)
            written = self._place(build, stage, made, gone)
            written.unchanged += len(wanted) - len(made)
        new = {name: output_of(settings.output / name, wanted[name]) for name in made}
        pages = [name for name in made if name.endswith(".html")]
        shows = {name: counted((settings.output / name).read_text(encoding="utf-8")) for name in pages}
        shelf.keep_outputs(new, gone, shows, writer.asked)
        build.keep_asked(writer.asked)
        for name in self._outputs.keys() - wanted.keys() - set(last):
            del self._outputs[name]
        self._outputs |= new
        if build.place is not None:
            keep_place(shelf, build.place)
        if build.pieces:
            shelf.keep_pieces(build.pieces)
        self._follow(build, stale)
        self._generation = secrets.token_hex(8)
        shelf.note(key=self._key, generation=self._generation, compressed="yes" if compress else "")
        return written

    def _place(self, build: Build, stage: Path, made: list[str], gone: list[str]) -> WriteCounts:
        """File by file; in one step where pages come or go that link to each other."""
        output = self.settings.output
        fresh = [name for name in made if name not in self._outputs]
        if any(sum(name.endswith(".html") for name in names) > 1 for names in (fresh, gone)):
            together = place_together(stage, output, made, gone)
            if together is not None:
                return together
        return place(stage, output, made, gone, posts={path.lstrip("/") for path in build.posts})

    def _compress(self, stage: Path, made: list[str], wanted: dict[str, bytes]) -> None:
        """Put the compressed files beside what was made; those of the others stay, or are made where they are gone."""
        kept = {name: self._outputs.get(name + ENDING) for name in wanted.keys() - set(made)}
        output = self.settings.output
        todo = [(name, stage / name) for name in made]
        todo += [(name, output / name) for name, beside in kept.items() if not (beside and beside.key)]
        todo = [(name, file) for name, file in todo if worth_it(file)]

        def compress(share: int, shares: int) -> int:
            for name, file in todo[share::shares]:
                beside = stage / (name + ENDING)
                beside.parent.mkdir(parents=True, exist_ok=True)
                beside.write_bytes(compressed(file.read_bytes()))
            return 0

        shared(compress, cores() if len(todo) >= WORTH_SHARING else 1)
        made += [name + ENDING for name, _ in todo]
        wanted |= {name + ENDING: wanted[name] or COMPRESSED for name, _ in todo}
        wanted |= {name + ENDING: beside.key for name, beside in kept.items() if beside and beside.key}

    @property
    def knowledge(self) -> object:
        """What is known of the site: another object once it was looked at from the beginning; None before."""
        return self._build

    def next_due(self) -> float | None:
        """When the next scheduled post is due (seconds since 1970), as far as the latest build knows."""
        library = self._build.library if self._build else None
        return library.next_due() if library else None

    def _checked(self, build: Build, others: list[Path]) -> list[str]:
        """What a reader would stumble over in the posts that were read in this build, and in pages that changed."""
        settings, now = self.settings, clock.now()
        fresh = build.library.fresh if build.library else ()
        files = [*(settings.content / path for path in sorted(fresh)), *others]

        def check(share: int, shares: int) -> list[str]:
            return check_files(files[share::shares], settings.content, settings.output, now=now)

        return sorted(line for lines in shared(check, cores() if len(files) >= WORTH_SHARING else 1) for line in lines)

    def _follow(self, build: Build, stale: set[str]) -> None:
        """Threads that changed while nobody built are brought up to date where their pages were not made anew."""
        shelf, shown = build.shelf, build.shown
        # The store had never heard of a new post when the versions were read.
        now = {path: (build.versions.get(path, 0), build.counts.get(path, 0)) for path in build.posts}
        old = {path: build.versions[path] for path in stale if path in shown and path in build.posts}
        shelf.keep_threads({path: kept for path, kept in now.items() if shown.get(path) != kept and path not in old})
        shelf.forget_threads(path for path in shown if path not in now)
        if old:
            with build.store.reading() as session:
                rewrite(self.settings, session, shelf, old)


def build_site(
    settings: Settings, store: Store, *, full: bool = False, configuration: Path = CONFIGURATION
) -> BuildReport:
    """Make the output right once; with `full`, knowing nothing of what is there. Raises BuildRefused."""
    builder = Builder(settings, store, configuration)
    try:
        return builder.build(full=full)
    finally:
        builder.close()


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
