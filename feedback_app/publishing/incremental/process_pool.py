"""Work spread over all cores: forked children, each with its share, return their results through pipes."""

import ctypes
import marshal
import os
import signal
import sqlite3
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import DBAPIError

# Less work than this is done before a second process has started.
MIN_PARALLEL_FILES = 100
_PR_SET_PDEATHSIG = 1  # prctl(2)


class ChildFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """An error in a child, in one line."""


class ChildDied(OSError):  # noqa: N818 - reads as a sentence where it is raised
    """A child could not finish through no fault of its input: it was killed, or the store did not answer."""

    def __init__(self, reason: str = "a process that was helping has died") -> None:
        """Take the reason in words."""
        super().__init__(0, reason, "build")


def cpu_count() -> int:
    """Return how many processes can work at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_processes(
    work: Callable[[int, int], Any], processes: int, describe: Callable[[Exception], str] = str
) -> list[Any]:
    """Call `work(number, processes)` once in each child and return the results in order; they are plain data.

    Every child starts with all that its parent has in memory. A single process works here, without a child. Raises
    ChildFailed, with what `describe` makes of the child's error, and ChildDied.
    """
    if processes == 1:
        return [work(0, 1)]
    children = [_start(work, number, processes, describe) for number in range(processes)]
    answers = []
    for _, pipe in children:
        with os.fdopen(pipe, "rb") as file:
            answers.append(file.read())
    for child, _ in children:
        os.waitpid(child, 0)
    if not all(answers):
        raise ChildDied
    results = [marshal.loads(answer) for answer in answers]  # noqa: S302 - our own children's
    for succeeded, result in results:
        if succeeded is None:
            raise ChildDied(result)
        if not succeeded:
            raise ChildFailed(result)
    return [result for _, result in results]


def _start(
    work: Callable[[int, int], Any], number: int, processes: int, describe: Callable[[Exception], str]
) -> tuple[int, int]:
    """Start a child; returns its process id and the pipe on which its answer comes."""
    reading, writing = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python warns of forking beside threads. The other threads (the watcher's) only wait, and a child uses
        # nothing of theirs.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        _die_with(parent)
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(marshal.dumps(_answer(work, number, processes, describe)))
        status = 0
    finally:
        os._exit(status)


def _die_with(parent: int) -> None:
    """End this child when its parent is killed: else its files would mix with those of the next build."""
    with suppress(AttributeError):
        # Linux only. Elsewhere the child ends when it finds that nobody reads its pipe.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _answer(
    work: Callable[[int, int], Any], number: int, processes: int, describe: Callable[[Exception], str]
) -> tuple[bool | None, Any]:
    try:
        return True, work(number, processes)
    except (DBAPIError, sqlite3.Error):
        return None, "a process that was helping had no answer from the store"
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return False, describe(error)
