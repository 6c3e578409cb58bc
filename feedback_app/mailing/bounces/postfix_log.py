"""Reads Postfix's log: which letters it began to read, and which it took."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from io import TextIOWrapper
from pathlib import Path

# Postfix writes `postfix/cleanup[42]: 4F2A: message-id=<…>` while it reads a letter, `postfix/qmgr[7]: 4F2A: from=<…>,
# … (queue active)` when it has taken it, and `…: 4F2A: to=<…>, …, status=sent` when it has passed it on.
_BEGUN = re.compile(r"postfix[^\s:]*/cleanup\[\d+\]: (\w+): message-id=(<[^>\s]+>)")
_TAKEN = re.compile(r"postfix[^\s:]*/(?:qmgr\[\d+\]: (\w+): from=<|\w+\[\d+\]: (\w+): to=<.*\bstatus=)")
# `postfix/qmgr[7]: 4F2A: removed`: after that, another letter may get the same queue ID.
_REMOVED = re.compile(r"postfix[^\s:]*/qmgr\[\d+\]: (\w+): removed")
# A letter that was begun was not taken if the log goes on for so long and does not say so.
SILENCE = timedelta(hours=1)
# Control characters occur in no text log, and early in every compressed file.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_PEEK_BYTES = 4096


class LogUnreadable(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A file is no log that can be read; the message is one line that says what to do."""


@contextmanager
def open_log(path: Path) -> Iterator[Iterable[str]]:
    """Yield the lines of a log. Raises LogUnreadable for a compressed file, and OSError."""
    with path.open("rb") as file:
        if _BINARY.search(file.peek(_PEEK_BYTES)[:_PEEK_BYTES]):
            message = f"{path} is not a text log: unpack it first (`zcat {path.name} > mail.log`, say)"
            raise LogUnreadable(message)
        yield TextIOWrapper(file, encoding="utf-8", errors="replace")


@dataclass(slots=True)
class LogReader:
    """What a log says about some letters, whose numbers are given by Message-ID."""

    letters: dict[str, int]
    taken: set[int] = field(default_factory=set)
    # The last line in which the server began to read a letter, by the letter's number.
    _begun: dict[int, str] = field(default_factory=dict)
    # The letter of each queue ID at this point of the log; Postfix uses a queue ID again.
    _queue_ids: dict[str, int] = field(default_factory=dict)
    _last_line: str = ""

    def read(self, lines: Iterable[str]) -> None:
        """Read all lines of a log."""
        for line in lines:
            self._read_line(line)
            self._last_line = line if line.strip() else self._last_line

    def not_taken(self, now: datetime) -> set[int]:
        """Return the letters that were begun and not taken, if the log goes on long enough, by its own times."""
        end = _time_of(self._last_line, now)
        return {
            number
            for number, line in self._begun.items()
            if number not in self.taken and _is_long_before(_time_of(line, now), end)
        }

    def cut_off(self, now: datetime) -> set[int]:
        """Return the letters that were begun and not taken, and after which the log ends too soon."""
        return self._begun.keys() - self.taken - self.not_taken(now)

    def _read_line(self, line: str) -> None:
        if found := _BEGUN.search(line):
            self._queue_ids.pop(found[1], None)
            if number := self.letters.get(found[2]):
                self._queue_ids[found[1]] = number
                self._begun[number] = line
        elif found := _TAKEN.search(line):
            if number := self._queue_ids.get(found[1] or found[2]):
                self.taken.add(number)
        elif found := _REMOVED.search(line):
            self._queue_ids.pop(found[1], None)


def _time_of(line: str, now: datetime) -> datetime | None:
    """Return the time at the beginning of a log's line; None if it can't be read."""
    with suppress(ValueError):
        return datetime.fromisoformat(line.split(maxsplit=1)[0] if line.strip() else "")
    # Syslog's traditional times have no year: take the latest year in which the time is not in the future.
    for year in (now.year, now.year - 1):
        with suppress(ValueError):
            time = datetime.strptime(f"{year} {' '.join(line.split()[:3])}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007 - it has no zone
            if time <= now.replace(tzinfo=None) + timedelta(days=1):
                return time
    return None


def _is_long_before(begun: datetime | None, end: datetime | None) -> bool:
    """Return whether a log goes on for SILENCE after a letter. Times with and without a zone can't be compared."""
    if not begun or not end or (begun.tzinfo is None) != (end.tzinfo is None):
        return False
    return end - begun >= SILENCE
