"""Work shared between all cores: forked children, each with its share, whose answers come back through pipes."""

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

_PDEATHSIG = 1  # prctl(2)


class ChildFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """What went wrong in a child, in one line."""


class ChildDied(OSError):  # noqa: N818 - reads as a sentence where it is raised
    """A child could not do its share, for no fault of what it was given: it was killed, or the store did not answer."""

    def __init__(self, why: str = "a process that was helping has died") -> None:
        """In words."""
        super().__init__(0, why, "build")


def cores() -> int:
    """How many processes can work at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared(work: Callable[[int, int], Any], shares: int, say: Callable[[Exception], str] = str) -> list[Any]:
    """What `work(share, shares)` returns for each share, in order; answers are plain data.

    Every child starts with all that its parent has in memory. One share is done here, without a child. Raises
    ChildFailed with what `say` makes of a child's error, and ChildDied.
    """
    if shares == 1:
        return [work(0, 1)]
    children = [_start(work, share, shares, say) for share in range(shares)]
    answers = []
    for _, pipe in children:
        with os.fdopen(pipe, "rb") as file:
            answers.append(file.read())
    for child, _ in children:
        os.waitpid(child, 0)
    if not all(answers):
        raise ChildDied
    said = [marshal.loads(answer) for answer in answers]  # noqa: S302 - our own children's
    for good, answer in said:
        if good is None:
            raise ChildDied(answer)
        if not good:
            raise ChildFailed(answer)
    return [answer for _, answer in said]


def _start(
    work: Callable[[int, int], Any], share: int, shares: int, say: Callable[[Exception], str]
) -> tuple[int, int]:
    reading, writing = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Other threads (the watcher's) only wait; nothing of theirs is used in the child.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        _end_with(parent)
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(marshal.dumps(_answer(work, share, shares, say)))
        status = 0
    finally:
        os._exit(status)


def _end_with(parent: int) -> None:
    """Have this child end when its parent is killed: what it makes would get between what the next build makes."""
    with suppress(AttributeError):
        # Linux's own; elsewhere the child ends when nobody takes its answer.
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _answer(
    work: Callable[[int, int], Any], share: int, shares: int, say: Callable[[Exception], str]
) -> tuple[bool | None, Any]:
    try:
        return True, work(share, shares)
    except (DBAPIError, sqlite3.Error):
        return None, "a process that was helping had no answer from the store"
    except Exception as error:  # noqa: BLE001 - told by the parent
        return False, say(error)
