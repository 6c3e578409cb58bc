"""What Pelican says while it builds, and what went wrong where, each in one line for the owner."""

import locale
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pelican.log
from jinja2 import TemplateSyntaxError

from feedback_app.config import Settings
from feedback_app.publishing.pelican.post_index import with_reason

NO_STAMP = "Cannot get modification stamp for "
DEAD = re.compile(r"Unable to find '(.+)', skipping url replacement")


class Heard(logging.Handler):
    """What Pelican says of the files it reads."""

    def __init__(self) -> None:
        """Nothing is heard yet."""
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was said."""
        if record.getMessage().startswith(NO_STAMP):
            # Somebody links to a file that is not there: our own check says so, with its line.
            return
        if record.levelno < logging.ERROR:
            self.warnings.append(record.getMessage().removeprefix("Skipping "))
        else:
            self.errors.append(with_reason(record).removeprefix("Skipping "))


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear what Pelican says, and have it say nothing to anybody else; its locale ends with it."""
    heard = Heard()
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


def said(error: Exception, configuration: Path) -> str:
    """An error in words, with its place where it has one."""
    return f"{_place(error, configuration)}{type(error).__name__}: {error}"


def _place(error: Exception, configuration: Path) -> str:
    """The line of the theme or of the configuration where something broke, if that is where it broke."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename}, line {error.lineno}: "
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".html") or Path(frame.filename).name == configuration.name:
            return f"{frame.filename}, line {frame.lineno}: "
    return ""


def one_line(words: str, settings: Settings) -> str:
    """The same on one line, with paths as the owner knows them."""
    words = " ".join(words.split()).replace(f"{settings.content.resolve()}/", f"{settings.content}/")
    return words.replace(f"{Path.cwd()}/", "")
