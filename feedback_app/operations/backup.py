"""Backing the store up while the shop works, and reading a backup from end to end. There are no keys in one."""

import os
import secrets
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine

from feedback_app.db.base import SQLITE
from feedback_app.db.setup import LOOKUP_CHECK, SEALING_KEY
from feedback_app.db.store import Store
from feedback_app.operations.pg_dump import DumpProblem, dumped_rows, make_dump
from feedback_app.security.crypto import KeyRing

SQLITE_MAGIC = b"SQLite format 3\0"
DUMP_MAGIC = b"PGDMP"


class BackupProblem(Exception):  # noqa: N818 - a problem with a backup, told to the owner in one line
    """A backup can't be made or used; one line that says why."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds, known by reading all of it. `numbers` are the last numbers given, by table."""

    kind: Literal["sqlite", "postgresql"]
    revision: str
    facts: dict[str, bytes]
    rows: dict[str, int]
    numbers: dict[str, int]

    def is_opened_by(self, ring: KeyRing) -> bool:
        """Whether these are the keys, all of them, that this backup needs."""
        needed = {value for name, value in self.facts.items() if name.startswith(SEALING_KEY)}
        return self.facts.get(LOOKUP_CHECK) == ring.lookup_check and needed <= {key.id for key in ring.sealing}


def back_up(store: Store, file: Path, *, overwrite: bool = False) -> Contents:
    """Write a backup of a store that may be in use; it is there only once it has been read again and found good.

    Raises BackupProblem.
    """
    ring: KeyRing = store.info["vault"].ring
    database = store.engine.url.database
    if store.dialect == SQLITE and database and file.resolve() == Path(database).resolve():
        message = f"{file} is the store itself: choose another name"
        raise BackupProblem(message)
    if file.exists() and not overwrite:
        message = f"{file} is there already: choose another name, or say --overwrite"
        raise BackupProblem(message)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        copy_store(store.engine, draft)
        contents = examine(draft)
        if not contents.is_opened_by(ring):
            message = f"{file}: the copy does not have the store's key check: nothing was kept, try again"
            raise BackupProblem(message)
        draft.replace(file)
        sync_folder(file)
    except OSError as error:
        message = f"{file}: can't be written ({error.strerror})"
        raise BackupProblem(message) from error
    finally:
        draft.unlink(missing_ok=True)
    return contents


def copy_store(engine: Engine, target: Path) -> None:
    """Copy everything in a database into a new file that only this user can read. Raises BackupProblem, OSError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        if engine.dialect.name == SQLITE:
            _copy_sqlite(engine, target)
        else:
            make_dump(engine.url, target)
    except (sqlite3.Error, DumpProblem) as error:
        message = f"the store can't be copied to {target.parent}: {error}"
        raise BackupProblem(message) from error
    with target.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(file: Path) -> None:
    """Make a rename last through a power loss."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def examine(file: Path) -> Contents:
    """Read a backup from end to end. Raises BackupProblem when it is not one, or not whole."""
    try:
        with file.open("rb") as opened:
            head = opened.read(len(SQLITE_MAGIC))
    except OSError as error:
        message = f"{file}: can't be read ({error.strerror})"
        raise BackupProblem(message) from error
    try:
        if head == SQLITE_MAGIC:
            return _examine_sqlite(file)
        if head.startswith(DUMP_MAGIC):
            return _examine_dump(file)
    except (sqlite3.Error, DumpProblem, ValueError, KeyError) as error:
        message = f"{file}: this backup is damaged ({_first_line(error)}): use another one"
        raise BackupProblem(message) from error
    message = f"{file}: this is not a backup"
    raise BackupProblem(message)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _copy_sqlite(engine: Engine, target: Path) -> None:
    source = engine.raw_connection()
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as copy:
            # In one step: writers go on meanwhile, and none of them can make it begin again.
            driver = source.driver_connection
            if isinstance(driver, sqlite3.Connection):
                driver.backup(copy)
            # One file, without a log beside it that could be forgotten.
            copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        source.close()


def _examine_sqlite(file: Path) -> Contents:
    log = file.with_name(f"{file.name}-wal")
    if log.exists() and log.stat().st_size:
        message = f"{file}: this is a store in use ({log.name} is beside it), not a backup"
        raise BackupProblem(message)
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        copy.execute("PRAGMA trusted_schema = OFF")
        [found] = copy.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        if copy.execute("PRAGMA foreign_key_check").fetchone():
            message = "a row in it belongs to nothing"
            raise sqlite3.DatabaseError(message)
        tables = {name for [name] in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"alembic_version", "store_facts"} <= tables:
            message = f"{file}: this is a database of another program, not a backup"
            raise BackupProblem(message)
        [revision] = copy.execute("SELECT version_num FROM alembic_version").fetchone() or [""]
        facts = dict(copy.execute("SELECT name, value FROM store_facts").fetchall())
        own = sorted(name for name in tables if not name.startswith("sqlite_"))
        rows = {name: copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in own}  # noqa: S608 - read from the file's own list
        numbers = dict(copy.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    return Contents("sqlite", revision, facts, rows, numbers)


def _examine_dump(file: Path) -> Contents:
    rows: Counter[str] = Counter()
    facts: dict[str, bytes] = {}
    numbers: dict[str, int] = {}
    revision = ""
    for table, columns, line in dumped_rows(file):
        if not columns:
            numbers[table.removesuffix("_id_seq")] = int(line)
            continue
        rows[table] += 1
        if table == "alembic_version":
            revision = line.decode().strip()
        elif table == "store_facts":
            row = dict(zip(columns.split(", "), line.decode().rstrip("\n").split("\t"), strict=True))
            facts[row["name"]] = bytes.fromhex(row["value"].removeprefix(r"\\x"))
    if not revision:
        message = f"{file}: this is a dump of another database, not a backup"
        raise BackupProblem(message)
    return Contents("postgresql", revision, facts, dict(rows), numbers)
