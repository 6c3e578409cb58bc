"""What Pelican logs while it builds, and errors in one line for the owner, with their file and line."""

import locale
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import TemplateSyntaxError

from feedback_app.config import Settings
from feedback_app.publishing.pelican.compat import quiet_console

UNRESOLVED_LINK = re.compile(r"Unable to find '(.+)', skipping url replacement")
_MISSING_FILE = "Cannot get modification stamp for "

log = logging.getLogger("pelican")


class PelicanMessages(logging.Handler):
    """Collects Pelican's warnings and errors."""

    def __init__(self) -> None:
        """Begin without any."""
        super().__init__(logging.WARNING)
        self.warnings: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect one message."""
        if record.getMessage().startswith(_MISSING_FILE):
            # A link to a file that does not exist: our own check reports it, with its line.
            return
        if record.levelno < logging.ERROR:
            self.warnings.append(record.getMessage().removeprefix("Skipping "))
        else:
            self.errors.append(_with_reason(record).removeprefix("Skipping "))


@contextmanager
def collect_messages() -> Iterator[PelicanMessages]:
    """Collect Pelican's messages instead of showing them, and restore the locale that Pelican sets."""
    messages = PelicanMessages()
    # Pelican sets the locale of the whole process, and with it the encoding of files opened without one.
    locale_before = locale.setlocale(locale.LC_ALL)
    propagate = log.propagate
    log.addHandler(messages)
    log.propagate = False
    try:
        with quiet_console():
            yield messages
    finally:
        locale.setlocale(locale.LC_ALL, locale_before)
        log.removeHandler(messages)
        log.propagate = propagate


# Level and text, plain enough for a pipe.
PlainMessage = tuple[int, str]


@contextmanager
def messages_of_child(*, is_child: bool) -> Iterator[list[PlainMessage]]:
    """Collect what a child logs, for its parent to log; in the parent itself, collect nothing."""
    messages: list[PlainMessage] = []
    if not is_child:
        yield messages
        return
    before, log.handlers = log.handlers, [_PlainHandler(messages)]
    try:
        yield messages
    finally:
        log.handlers = before


def log_messages(messages: list[PlainMessage]) -> None:
    """Log what a child has logged."""
    for level, text in messages:
        log.log(level, "%s", text)


class _PlainHandler(logging.Handler):
    def __init__(self, messages: list[PlainMessage]) -> None:
        super().__init__(logging.WARNING)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.levelno, _with_reason(record)))


def _with_reason(record: logging.LogRecord) -> str:
    """Return a message; for an error, with the exception that Pelican caught and does not mention."""
    text = record.getMessage().rstrip()
    reason = str(sys.exc_info()[1] or "") if record.levelno >= logging.ERROR else ""
    return f"{text}: {reason}" if reason and not all(line in reason for line in text.splitlines()) else text


def describe_error(error: Exception, configuration: Path) -> str:
    """Return an error in words, with the line of the theme or of the configuration where it was raised."""
    return f"{_location(error, configuration)}{type(error).__name__}: {error}"


def _location(error: Exception, configuration: Path) -> str:
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename}, line {error.lineno}: "
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".html") or Path(frame.filename).name == configuration.name:
            return f"{frame.filename}, line {frame.lineno}: "
    return ""


def one_line(text: str, settings: Settings) -> str:
    """Return a text on one line, with paths as the owner knows them."""
    text = " ".join(text.split()).replace(f"{settings.content.resolve()}/", f"{settings.content}/")
    return text.replace(f"{Path.cwd()}/", "")
