"""Where the tests keep their files: in memory where the system has a folder for that.

A store waits for its disk at every commit; thousands of small stores would make the tests wait for nothing else. What
the disk itself has to do with is tested on files that the test puts where it wants them.
"""

import os
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of one's own is made in it
ENOUGH = 2 * 2**30


def prefer_memory() -> None:
    """Make temporary files, those of the programs that tests start included, in memory if there is enough of it."""
    if in_memory():
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


def in_memory() -> bool:
    """Whether there is a folder in memory with enough room, in which programs may be run, too."""
    if not os.access(IN_MEMORY, os.W_OK):
        return False
    state = os.statvfs(IN_MEMORY)
    return state.f_bavail * state.f_frsize > ENOUGH and not state.f_flag & os.ST_NOEXEC
