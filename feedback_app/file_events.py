"""What the kernel tells of changed files (inotify(7), on Linux). Imports nothing of the program."""

import ctypes
import os
import select
import struct
from dataclasses import dataclass
from pathlib import Path

# <sys/inotify.h>: IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE and IN_MOVE_SELF.
_MASK = 0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x800
# IN_MOVE_SELF, IN_UNMOUNT, IN_Q_OVERFLOW and IN_IGNORED: from then on, not everything is told.
_LOST = 0x800 | 0x2000 | 0x4000 | 0x8000
_IN_ISDIR = 0x40000000
# An event's watch, mask and cookie, and the length of the name that follows.
_HEADER = struct.Struct("iIII")
_BUFFER = 65536


@dataclass(frozen=True, slots=True)
class FileEvent:
    """A file or folder was written, made, moved or removed."""

    path: Path
    is_folder: bool = False
    # Events were lost, or a folder is no longer where it was watched.
    is_loss: bool = False


class FileEvents:
    """The events of some folders, not of the folders in them. Raises OSError where the system has none to tell."""

    def __init__(self, *folders: Path) -> None:
        """Watch these folders from now on. Raises OSError."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            message = "this system has no inotify"
            raise OSError(message)
        self._descriptor: int = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders: dict[int, Path] = {}
        try:
            for folder in folders:
                watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK)
                self._folders[self._checked(watch)] = folder
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor that can be read when there are events, for `select`."""
        return self._descriptor

    def wait(self, seconds: float) -> bool:
        """Wait for an event, or so many seconds; return whether there is one."""
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def read(self) -> list[FileEvent]:
        """Return the events since the last call; it does not wait."""
        try:
            data = os.read(self._descriptor, _BUFFER)
        except BlockingIOError:
            return []
        events = []
        while data:
            watch, mask, _, length = _HEADER.unpack_from(data)
            end = _HEADER.size + length
            name = os.fsdecode(data[_HEADER.size : end].rstrip(b"\0"))
            path = self._folders.get(watch, Path()) / name
            events.append(FileEvent(path, is_folder=bool(mask & _IN_ISDIR), is_loss=bool(mask & _LOST)))
            data = data[end:]
        return events

    def close(self) -> None:
        """Stop watching."""
        os.close(self._descriptor)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result
