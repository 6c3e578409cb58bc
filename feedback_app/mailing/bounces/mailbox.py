"""Reads messages on disk: a Maildir, an mbox, or a file with one message."""

import mailbox
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from email.message import Message
from email.policy import compat32
from pathlib import Path

MBOX = b"From "


class MailboxRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """No messages can be read from a path; the message is one line that says why."""


def read_messages(path: Path) -> Iterator[Message]:
    """Yield every message at a path, which is left as it is. Raises MailboxRefused."""
    try:
        if path.is_dir():
            yield from _read_maildir(path)
            return
        with path.open("rb") as file:
            if file.read(len(MBOX)) == MBOX:
                with closing(mailbox.mbox(path, factory=None, create=False)) as box:
                    # Parsed here: the library's own messages fail at a `From ` line that is not ASCII.
                    yield from (message_from_bytes(box.get_bytes(key), policy=compat32) for key in box.iterkeys())
                return
            file.seek(0)
            data = file.read()
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise MailboxRefused(message) from error
    if data.strip():
        yield message_from_bytes(data, policy=compat32)


def _read_maildir(path: Path) -> Iterator[Message]:
    """Yield new and seen messages. The library's own class would look for subfolders and set flags."""
    folders = [path / name for name in ("new", "cur")]
    if not all(folder.is_dir() for folder in folders):
        message = f"{path}: this folder is no Maildir: it has no `new` and `cur` in it"
        raise MailboxRefused(message)
    for file in sorted(file for folder in folders for file in folder.iterdir() if file.is_file()):
        yield message_from_bytes(file.read_bytes(), policy=compat32)
