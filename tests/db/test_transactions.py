"""Transactions: what is kept, what goes wrong, and which process owns which connection."""

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from feedback_app.db.engine import make_engine
from feedback_app.db.store import Store
from feedback_app.db.write_lock import BUSY_MILLISECONDS
from feedback_app.heartbeats import Worker, WorkerKind, beat
from tests.support.clock import OPPS_DAY
from tests.support.databases import POSTGRESQL, SQLITE

on_sqlite = pytest.mark.parametrize("backend", [SQLITE])


def count(store: Store) -> int:
    """Count the workers in the store."""
    with store.reading() as session:
        return session.scalar(select(func.count(Worker.id))) or 0


def add(session: Session, name: str) -> None:
    """Add a worker."""
    beat(session, name, WorkerKind.MAILER, now=OPPS_DAY)


def keep(store: Store, name: str) -> None:
    """Add a worker in a transaction of its own."""
    store.write(lambda session: add(session, name))


def test_what_breaks_off_is_not_kept(store: Store) -> None:
    keep(store, "one")

    def break_off(session: Session) -> None:
        add(session, "two")
        session.flush()
        raise LookupError

    with pytest.raises(LookupError):
        store.write(break_off)
    assert count(store) == 1


def test_a_reader_sees_nothing_that_is_not_committed(store: Store) -> None:
    with store.writing() as session:
        add(session, "one")
        session.flush()
        assert count(store) == 0
    assert count(store) == 1


def test_work_that_collides_with_another_transaction_is_done_again(store: Store) -> None:
    tries: list[int] = []
    collision = IntegrityError("INSERT", None, ValueError())

    def collide_once(session: Session) -> None:
        tries.append(len(tries))
        if len(tries) == 1:
            raise collision
        add(session, "one")

    store.write(collide_once)
    assert (len(tries), count(store)) == (2, 1)


@on_sqlite
def test_a_commit_waits_until_it_is_on_the_disk(store: Store) -> None:
    with store.writing() as session:
        assert session.scalar(text("PRAGMA synchronous")) == 2
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"


@contextmanager
def failing_syncs(store: Store, *, commits: int, checkpoints: int = 0) -> Iterator[None]:
    """Have the disk fail: so many commits, and so many checkpoints after them."""
    left = {"commit": commits, "checkpoint": checkpoints}

    def fail(which: str) -> None:
        if left[which] > 0:
            left[which] -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            raise error

    def before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "wal_checkpoint" in statement:
            fail("checkpoint")

    usual = store.engine.dialect.do_commit

    def commit(connection: object) -> None:
        fail("commit")
        usual(connection)  # type: ignore[arg-type]

    event.listen(store.engine, "before_cursor_execute", before)
    store.engine.dialect.do_commit = commit  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        store.engine.dialect.do_commit = usual  # type: ignore[method-assign]
        event.remove(store.engine, "before_cursor_execute", before)


def kept_without_the_log(store: Store, folder: Path) -> list[str]:
    """Return the workers in the database file alone."""
    copy = folder / "without.db"
    # Not with shutil: closing the file in this process would drop SQLite's locks on it.
    subprocess.run(["cp", str(store.engine.url.database), str(copy)], check=True)
    with closing(sqlite3.connect(copy)) as kept:
        return [name for (name,) in kept.execute("SELECT id FROM workers ORDER BY id")]


@on_sqlite
def test_after_a_failed_sync_the_next_commit_is_kept_without_the_log(store: Store, tmp_path: Path) -> None:
    keep(store, "one")
    with failing_syncs(store, commits=1):
        with pytest.raises(OperationalError, match="disk I/O error"):
            keep(store, "two")
        keep(store, "three")
    assert kept_without_the_log(store, tmp_path) == ["one", "three"]
    # The log is trusted again.
    keep(store, "four")
    assert kept_without_the_log(store, tmp_path) == ["one", "three"]
    assert count(store) == 3


@on_sqlite
def test_nothing_is_acknowledged_after_a_failed_sync_until_a_checkpoint_held(store: Store, tmp_path: Path) -> None:
    with failing_syncs(store, commits=1, checkpoints=4):
        for name in ("one", "two", "three"):
            with pytest.raises(OperationalError, match="disk I/O error"):
                keep(store, name)
        keep(store, "four")
    assert kept_without_the_log(store, tmp_path) == ["four", "three", "two"]


@on_sqlite
def test_a_reader_of_a_doubtful_log_holds_up_promises_but_nobody_for_long(store: Store) -> None:
    began = time.monotonic()
    with closing(sqlite3.connect(str(store.engine.url.database))) as reader, failing_syncs(store, commits=1):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM workers").fetchone()
        for name in ("one", "two", "three"):
            with pytest.raises(OperationalError, match="disk I/O error"):
                keep(store, name)
    # Much less than the half minute for which a writer waits for others.
    assert time.monotonic() - began < BUSY_MILLISECONDS / 1000 / 3
    keep(store, "four")
    assert count(store) == 3


@on_sqlite
def test_writers_wait_for_the_lock_without_a_connection(store: Store) -> None:
    most: list[int] = []
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait(10)
        with store.writing() as session:
            add(session, f"{number}")
            session.flush()
            most.append(store.engine.pool.checkedout())  # type: ignore[attr-defined]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert count(store) == 8
    assert max(most) == 1


def test_a_store_in_a_folder_whose_name_is_not_utf_8_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"Sch\xf6n")
    folder.mkdir()
    here = Path.cwd()
    os.chdir(folder)
    try:
        store = Store(make_engine("sqlite:///store.db"), {})
        with store.writing() as session:
            session.execute(text("CREATE TABLE socks (id INTEGER)"))
        store.close()
    finally:
        os.chdir(here)
    assert (folder / "store.db").stat().st_size > 0


@on_sqlite
def test_what_breaks_is_rolled_back_before_the_next_writer_begins(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback_app.db.write_lock.BUSY_MILLISECONDS", 1)
    held = store._write_lock.held  # noqa: SLF001 - the next writer begins the moment it is free

    @contextmanager
    def held_then_written() -> Iterator[None]:
        try:
            with held():
                yield
        finally:
            with closing(sqlite3.connect(str(store.engine.url.database), timeout=0)) as next_one:
                next_one.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(store._write_lock, "held", held_then_written)  # noqa: SLF001 - as above
    with suppress(KeyError), store.writing() as session:
        add(session, "one")
        session.flush()
        raise KeyError
    keep(store, "two")
    assert count(store) == 1


@on_sqlite
def test_a_store_that_stays_locked_is_told_in_sqlalchemys_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback_app.db.write_lock.BUSY_MILLISECONDS", 1)
    with store.reading() as session:
        session.execute(text("PRAGMA busy_timeout = 1"))
    with closing(sqlite3.connect(str(store.engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            keep(store, "one")
        other.execute("ROLLBACK")
    keep(store, "one")
    assert count(store) == 1


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_a_server_that_is_gone_is_told_in_sqlalchemys_words(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = store.engine.dialect.loaded_dbapi.OperationalError("the connection was refused")

    def refuse(*_: object, **__: object) -> None:
        raise gone

    store.engine.dispose()
    monkeypatch.setattr(store.engine.dialect, "connect", refuse)
    with pytest.raises(OperationalError, match="refused"):
        keep(store, "one")


@on_sqlite
def test_threads_that_come_and_go_leave_no_connections_behind(store: Store) -> None:
    assert count(store) == 0
    for _ in range(10):
        thread = threading.Thread(target=lambda: count(store))
        thread.start()
        thread.join()
    assert store.engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@on_sqlite
def test_a_writer_finishes_although_the_store_is_closed_meanwhile(store: Store) -> None:
    with store.writing() as session:
        add(session, "one")
        store.engine.dispose()
    assert count(store) == 1
    store.close()
    keep(store, "two")
    assert count(store) == 2


def test_a_fork_gives_up_its_parents_connections_without_closing_them(store: Store) -> None:
    keep(store, "one")
    with store.reading() as in_use:
        before = in_use.scalar(select(func.count(Worker.id)))
        child = os.fork()
        if child == 0:
            code = 1
            try:
                keep(store, "two")
                code = 0 if count(store) == 2 else 2
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        # The connection that the parent uses, and the one in its pool, still work.
        assert in_use.scalar(select(func.count(Worker.id))) in {before, 2}
        keep(store, "three")
    assert count(store) == 3
