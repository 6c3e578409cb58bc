"""Building the site: Pelican writes what has changed into a stage, and the output takes that over.

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
from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.files.swap import stage_of
from feedback_app.publishing.files.write import Output, WriteCounts, verified
from feedback_app.publishing.incremental import (
    MIN_PARALLEL_FILES,
    THEME,
    BuildCache,
    ChildDied,
    ChildFailed,
    cpu_count,
    output_lock,
    plain_settings,
    run_in_processes,
    site_key,
)
from feedback_app.publishing.masking import BadAliases, read_aliases
from feedback_app.publishing.output_update import MARK, save_build, update_output, update_threads
from feedback_app.publishing.pelican.build import BUILD, Build
from feedback_app.publishing.pelican.hooks import adapt_settings
from feedback_app.publishing.pelican.log import (
    UNRESOLVED_LINK,
    PelicanMessages,
    collect_messages,
    describe_error,
    one_line,
)
from feedback_app.publishing.pelican.post_index import PostRefused
from feedback_app.publishing.pelican.runner import PelicanRunner

CONFIGURATION = Path("pelicanconf.py")
# Errors of the disk, not of the site.
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EACCES}


class BuildRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The site can't be built as it is; one line for each thing that is wrong. What was live is still live."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build did: the number of posts, the files written, how long it took, and warnings for the owner."""

    posts: int
    files: WriteCounts
    seconds: float
    warnings: list[str]


class Builder:
    """Builds one shop's site, again and again, each time with what the build before knew."""

    def __init__(self, settings: Settings, store: Store, configuration: Path = CONFIGURATION) -> None:
        """Take the shop's settings and its store; nothing is read yet."""
        self.settings = settings
        self.store = store
        self.configuration = configuration
        self._guard = LeakGuard(settings, store)
        self._runner: PelicanRunner | None = None
        self._build: Build | None = None
        # The site's own key, and the number of the latest build: another number means that another process has built.
        self._key = ""
        self._generation = ""
        # Every file of the site, by its name.
        self._outputs: dict[str, Output] = {}

    def build(self, *, full: bool = False, changed: Collection[Path] | None = None) -> BuildReport:
        """Bring the output up to date; with `full`, forget the build cache first. Raises BuildRefused and OSError.

        `changed` are the only files that may have changed since the latest build: no other file is looked at.
        """
        started = time.monotonic()
        with output_lock(self.settings):
            _check_output(self.settings)
            try:
                try:
                    return self._build_and_publish(started, full=full, changed=changed)
                except FileNotFoundError:
                    # A file that the cache knows was taken away: look at everything, once.
                    self.close()
                    return self._build_and_publish(started, full=full)
            except sqlite3.Error as error:
                # Most likely there is no room left for the build cache.
                self.close()
                raise OSError(errno.EIO, str(error), str(self.settings.instance / "site.db")) from error
            except BaseException as error:
                if isinstance(error, OSError) and not error.filename:
                    # Writing to an open file raises without its name.
                    error.filename = str(self.settings.output)
                # This build got no further than some point: the next one looks at everything.
                self.close()
                raise

    def close(self) -> None:
        """Close the build cache; the next build starts cold."""
        if self._build is not None:
            self._build.cache.close()
        self._build = self._runner = None
        self._generation = ""

    def next_due(self) -> float | None:
        """Return when the next scheduled post is due (seconds since 1970), as far as the latest build knows."""
        index = self._build.index if self._build else None
        return index.next_due() if index else None

    def _build_and_publish(self, started: float, *, full: bool, changed: Collection[Path] | None = None) -> BuildReport:
        settings = self.settings
        stage = stage_of(settings.output, settings.instance)
        shutil.rmtree(stage, ignore_errors=True)
        with collect_messages() as messages:
            try:
                other_files = self._guard.refuse_other_leaks()
                build = self._context(stage, messages, full=full)
                build.changed_files = changed
                stale = build.compare_threads()
                assert self._runner is not None  # noqa: S101 - made with the build context
                writer = self._runner.write_changes(self._outputs)
            except (PostRefused, ChildFailed, BadAliases, BadPicture, Leak) as error:
                messages.errors += str(error).splitlines()
            except (BuildRefused, DBAPIError):
                # A store that does not answer is no fault of the site.
                raise
            except OSError as error:
                if error.errno in _DISK_ERRORS or isinstance(error, ChildDied):
                    raise
                messages.errors.append(describe_error(error, self.configuration))
            except Exception as error:  # noqa: BLE001 - a post, a theme or the configuration can fail in any way
                messages.errors.append(describe_error(error, self.configuration))
        self._refuse_errors(messages)
        build.register_posts()
        files, self._outputs = update_output(build, writer, stage, self._outputs)
        shutil.rmtree(stage, ignore_errors=True)
        save_build(build)
        update_threads(build, stale)
        self._generation = secrets.token_hex(8)
        build.cache.set_facts(key=self._key, generation=self._generation)
        findings = self._check(build, other_files)
        # A dead link that the checks report with its line is not reported a second time.
        reported = "\n".join(findings)
        others = [
            text for text in messages.warnings if not (link := UNRESOLVED_LINK.match(text)) or link[1] not in reported
        ]
        warnings = [one_line(text, settings) for text in [*others, *findings]]
        return BuildReport(len(build.posts), files, time.monotonic() - started, warnings)

    def _refuse_errors(self, messages: PelicanMessages) -> None:
        if messages.errors:
            raise BuildRefused("\n".join(dict.fromkeys(one_line(text, self.settings) for text in messages.errors)))

    def _context(self, stage: Path, messages: PelicanMessages, *, full: bool) -> Build:
        """Return the build context: that of the build before, or a new one if the site's own key has changed."""
        settings, configuration = self.settings, self.configuration
        if not configuration.exists():
            message = f"{configuration}: there is no such file here: run this in the folder of your shop"
            raise BuildRefused(message)
        if not (settings.content / "posts").is_dir():
            message = f"{settings.content / 'posts'}: there is no such folder: posts live there"
            raise BuildRefused(message)
        key = digest(site_key(configuration).encode(), repr(read_aliases(settings.instance)).encode()).hex()
        if self._build is not None and not full and self._is_current(self._build, key):
            return self._build
        self.close()
        build = self._build = Build(self.store, settings, BuildCache.open(settings))
        values = read_settings(
            str(configuration),
            override={
                "PATH": str(settings.content.resolve()),
                "OUTPUT_PATH": str(stage.resolve()),
                "SITEURL": settings.site_url,
                "FEED_DOMAIN": settings.site_url,
                BUILD: build,
                SHOP: self._guard,
            },
        )
        adapt_settings(values, settings)
        self._key = key
        # What the configuration imports can change without any file of the site's own key.
        plain = plain_settings(values, without={BUILD, SHOP, "OUTPUT_PATH", "CACHE_PATH"})
        settings_key = digest(key.encode(), repr(plain).encode()).hex()
        if full or build.cache.get_fact("settings_key") != settings_key:
            build.cache.clear()
            build.cache.set_facts(settings_key=settings_key)
        self._runner = PelicanRunner(values)
        # A plugin that can't be loaded is only logged.
        self._refuse_errors(messages)
        self._outputs = verified(build.cache.outputs(), settings.output)
        return build

    def _is_current(self, build: Build, key: str) -> bool:
        """Whether a build context still describes the site: the site is there, and no other process has built since."""
        exists = (self.settings.output / MARK).exists()
        return exists and key == self._key and build.cache.get_fact("generation") == self._generation

    def _check(self, build: Build, other_files: list[Path]) -> list[str]:
        """Return what a reader would stumble over in the posts that this build has read, and in the other files."""
        settings, now = self.settings, clock.now()
        read_paths = build.index.read_paths if build.index else ()
        files = [*(settings.content / path for path in sorted(read_paths)), *other_files]

        def check(number: int, processes: int) -> list[str]:
            return check_files(files[number::processes], settings.content, settings.output, now=now)

        processes = cpu_count() if len(files) >= MIN_PARALLEL_FILES else 1
        return sorted(line for lines in run_in_processes(check, processes) for line in lines)


def build_site(
    settings: Settings, store: Store, *, full: bool = False, configuration: Path = CONFIGURATION
) -> BuildReport:
    """Bring the output up to date once; with `full`, forget the build cache first. Raises BuildRefused and OSError."""
    builder = Builder(settings, store, configuration)
    try:
        return builder.build(full=full)
    finally:
        builder.close()


def _check_output(settings: Settings) -> None:
    """Refuse an output folder from which a build would remove what no build has made."""
    output = settings.output.resolve()
    sources = [settings.content.resolve(), THEME.resolve(), settings.instance.resolve(), Path.cwd()]
    contains = any(output == source or output in source.parents for source in sources)
    if contains or any(source in output.parents for source in sources[:2]):
        message = f"{settings.output}: the output can't be where the shop's own files are: name a folder of its own"
        raise BuildRefused(message)
    if output.is_dir() and any(output.iterdir()) and not (output / MARK).exists():
        message = f"{settings.output}: there are files here that no build has made: empty the folder, or name another"
        raise BuildRefused(message)
