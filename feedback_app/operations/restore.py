"""Putting a backup in the store's place: in one transaction, or not at all.

A store that can be read is replaced where it is, so that a process that has it open goes on with what was restored; a
SQLite file that is missing or can't be read is made anew beside, and put there by a rename.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection as Driver
from sqlalchemy import Connection, Engine, event, func, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from feedback_app.config import Settings
from feedback_app.db.base import SQLITE
from feedback_app.db.engine import make_engine
from feedback_app.db.setup import StoreProblem, head_revision, migrate, setup_lock
from feedback_app.heartbeats import PATIENCE, Worker
from feedback_app.operations.backup import BackupProblem, Contents, copy_store, examine, sync_folder
from feedback_app.operations.pg_dump import DumpProblem, dumped_rows
from feedback_app.operations.reconcile import Reconciled, carry_over
from feedback_app.operations.restart import Stopped, continue_numbers, stop_unfinished_work
from feedback_app.operations.snapshot import drop_snapshot, take_snapshot
from feedback_app.security.crypto import KeyRing, Vault
from feedback_app.security.keys import AddressKeys

# Threads are registered by a build and workers by starting: neither is anybody's data.
DATA = ("customers", "comments", "consent_events", "suppressions", "mailings", "deliveries", "owners")
VERSIONS = "alembic_version"


@dataclass(frozen=True, slots=True)
class Plan:
    """A backup that fits, and what stands where it would go. `readable` is None when there is nothing."""

    file: Path
    contents: Contents
    ring: KeyRing
    holds_data: bool
    readable: bool | None

    @property
    def replaces(self) -> bool:
        """Whether something would be lost."""
        return self.holds_data or self.readable is False


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `carried` is None when nothing could be; `kept` is the store as it was."""

    rows: dict[str, int]
    carried: Reconciled | None
    stopped: Stopped
    kept: Path | None


def plan_restore(settings: Settings, file: Path) -> Plan:
    """Look at a backup and at what it would replace, and change nothing.

    Raises BackupProblem, StoreProblem, KeyProblem.
    """
    contents = examine(file)
    url = make_url(settings.store_url)
    kind = "sqlite" if url.get_backend_name() == SQLITE else "postgresql"
    if contents.kind != kind:
        message = f"{file}: this backup is of a {contents.kind} store, and UNDISCLOSED_STORE_URL leads to {kind}"
        raise BackupProblem(message)
    if contents.revision > head_revision():
        message = (
            f"{file}: this backup is newer ({contents.revision}) than this program ({head_revision()}): "
            "install the newer program"
        )
        raise BackupProblem(message)
    keys = AddressKeys(settings)
    ring = keys.ring()
    if not contents.is_opened_by(ring):
        message = f"{file}: this backup was made with an address key that is not in {keys.where}: put that one back"
        raise BackupProblem(message)
    if kind == SQLITE and url.database:
        state = _state_of_file(Path(url.database))
        if not state:
            return Plan(file, contents, ring, holds_data=False, readable=state)
        if file.resolve() == Path(url.database).resolve():
            message = f"{file} is the store itself: nothing to restore"
            raise BackupProblem(message)
    engine = make_engine(settings.store_url)
    try:
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            if tables and VERSIONS not in tables:
                message = "the store's URL leads to a database that holds other tables; give Undisclosed one of its own"
                raise StoreProblem(message)
            return Plan(file, contents, ring, _holds_data(connection, tables), readable=bool(tables) or None)
    except DBAPIError as error:
        raise _unusable(error) from error
    finally:
        engine.dispose()


def restore(settings: Settings, plan: Plan, *, now: datetime) -> Restored:
    """Put the backup in the store's place. What it replaces is kept beside.

    Raises StoreProblem, with the store as it was, when something is at work in it or anything goes wrong.
    """
    with setup_lock(settings):
        try:
            database = make_url(settings.store_url).database
            if plan.contents.kind == SQLITE and not plan.readable and database:
                return _restore_beside(settings, Path(database), plan, now=now)
            return _restore_in_place(settings, plan, now=now)
        except (SQLAlchemyError, sqlite3.Error, DumpProblem) as error:
            raise _unusable(error) from error
        except OSError as error:
            message = f"{error.filename}: {error.strerror}: nothing was restored"
            raise StoreProblem(message) from error


def _restore_in_place(settings: Settings, plan: Plan, *, now: datetime) -> Restored:
    with _engine(settings.store_url, plan) as engine:
        kept = None
        with engine.connect() as connection:
            _refuse_workers(connection, now)
        if plan.holds_data:
            kept = _kept_at(settings, plan, now)
            copy_store(engine, kept)
        try:
            return _pour_all(engine, settings, plan, kept, now=now)
        except BaseException:
            if kept:
                kept.unlink(missing_ok=True)
            raise


def _restore_beside(settings: Settings, store: Path, plan: Plan, *, now: datetime) -> Restored:
    store.parent.mkdir(parents=True, exist_ok=True)
    draft = store.with_name(f".{store.name}.{secrets.token_hex(4)}")
    kept = _kept_at(settings, plan, now) if plan.readable is False else None
    try:
        with _engine(f"sqlite:///{draft.absolute()}", plan) as engine:
            done = _pour_all(engine, settings, plan, kept, now=now)
        # The logs first: one of the old file's must never meet the new file.
        for ending in ("-wal", "-shm", ""):
            old = store.with_name(store.name + ending)
            if old.exists():
                old.replace(f"{kept}{ending}") if kept else old.unlink()
        draft.replace(store)
        sync_folder(store)
    finally:
        for ending in ("", "-wal", "-shm"):
            draft.with_name(draft.name + ending).unlink(missing_ok=True)
    return done


def _pour_all(engine: Engine, settings: Settings, plan: Plan, kept: Path | None, *, now: datetime) -> Restored:
    contents = plan.contents
    with engine.execution_options(writing=True).begin() as connection:
        _lock(connection)
        _refuse_workers(connection, now)
        before = take_snapshot(connection, plan.ring) if plan.holds_data else None
        _drop_all(connection)
        migrate(connection, contents.revision)
        _pour(connection, plan)
        migrate(connection)
        continue_numbers(connection, before, contents.numbers)
        vault = Vault(plan.ring, AddressKeys(settings))
        with Session(connection, info={"vault": vault}) as session:
            carried = carry_over(session, before, plan.ring, now=now) if before else None
            stopped = stop_unfinished_work(session, now=now)
            session.commit()
        drop_snapshot(connection)
    return Restored(contents.rows, carried, stopped, kept)


@contextmanager
def _engine(url: str, plan: Plan) -> Iterator[Engine]:
    engine = make_engine(url)
    if plan.contents.kind == SQLITE:

        def attach(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute("ATTACH DATABASE ? AS backup", (str(plan.file.absolute()),)).close()

        event.listen(engine, "connect", attach)
    try:
        yield engine
    finally:
        engine.dispose()


def _state_of_file(store: Path) -> bool | None:
    """Whether a SQLite file can be read; None when there is none, or nothing in it."""
    try:
        if not store.exists() or not store.stat().st_size:
            return None
        with closing(sqlite3.connect(store)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except (sqlite3.Error, OSError):
        return False


def _holds_data(connection: Connection, tables: set[str]) -> bool:
    return any(
        connection.scalar(text(f"SELECT 1 FROM {name} LIMIT 1"))  # noqa: S608 - our own names
        for name in DATA
        if name in tables
    )


def _kept_at(settings: Settings, plan: Plan, now: datetime) -> Path:
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    database = make_url(settings.store_url).database
    if plan.contents.kind == SQLITE and database:
        kept = Path(f"{database}.replaced-{moment}")
    else:
        kept = settings.instance / f"store.replaced-{moment}.dump"
    return kept if not kept.exists() else kept.with_name(f"{kept.name}-{secrets.token_hex(2)}")


def _lock(connection: Connection) -> None:
    """Let nobody in until the end: SQLite's write lock is taken already."""
    if connection.dialect.name == SQLITE:
        return
    connection.execute(text("SET LOCAL lock_timeout = '30s'"))
    tables = inspect(connection).get_table_names()
    if tables:
        names = ", ".join(f'"{name}"' for name in sorted(tables))
        connection.execute(text(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"))


def _refuse_workers(connection: Connection, now: datetime) -> None:
    if not inspect(connection).has_table(Worker.__tablename__):
        return
    query = select(Worker.kind, func.count()).where(Worker.beat_at > now - PATIENCE).group_by(Worker.kind)
    found = sorted(kind.value for kind, _ in connection.execute(query))
    if found:
        message = (
            f"there is a {' and a '.join(found)} at work in the store: stop `undisclosed serve` and `undisclosed mail "
            f"run` first (one that was killed counts for {PATIENCE.seconds} seconds)"
        )
        raise StoreProblem(message)


def _drop_all(connection: Connection) -> None:
    cascade = "" if connection.dialect.name == SQLITE else " CASCADE"
    for name, _ in reversed(inspect(connection).get_sorted_table_and_fkc_names()):
        if name:
            connection.execute(text(f'DROP TABLE "{name}"{cascade}'))


def _pour(connection: Connection, plan: Plan) -> None:
    """Copy the rows into tables that are as those of the backup were, each after those that it refers to."""
    for name, _ in inspect(connection).get_sorted_table_and_fkc_names():
        if name is None or name == VERSIONS:
            continue
        if connection.dialect.name == SQLITE:
            columns = ", ".join(f'"{column["name"]}"' for column in inspect(connection).get_columns(name))
            connection.execute(text(f'INSERT INTO main."{name}" ({columns}) SELECT {columns} FROM backup."{name}"'))  # noqa: S608 - names of our own tables
        else:
            _pour_dump(connection, name, plan.file)
        count = connection.scalar(text(f'SELECT count(*) FROM "{name}"'))  # noqa: S608 - names of our own tables
        if count != plan.contents.rows.get(name, 0):
            message = f"{plan.file}: rows of {name} did not all arrive: nothing was restored"
            raise StoreProblem(message)


def _pour_dump(connection: Connection, name: str, file: Path) -> None:
    driver = connection.connection.driver_connection
    if not isinstance(driver, Driver):
        message = "this needs psycopg"
        raise TypeError(message)
    rows = (row for row in dumped_rows(file, name) if row[0] == name and row[1])
    first = next(rows, None)
    if first is None:
        return
    with driver.cursor() as cursor, cursor.copy(f'COPY "{name}" ({first[1]}) FROM STDIN'.encode()) as copy:
        copy.write(first[2])
        for _, _, line in rows:
            copy.write(line)


def _unusable(error: Exception) -> StoreProblem:
    reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return StoreProblem(f"nothing was restored: {reason}")
