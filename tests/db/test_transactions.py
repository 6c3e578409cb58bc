"""Transactions with the driver alone: what needs a session, what goes wrong, and whose connection it is."""

import errno
import gc
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
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from feedback_app.db import wal
from feedback_app.db.engine import make_engine
from feedback_app.db.prepared import Driver, driver_of, session_of
from feedback_app.db.store import Store
from feedback_app.db.write_lock import BUSY_MILLISECONDS
from feedback_app.heartbeats import Worker, WorkerKind, beat
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import POSTGRESQL, SQLITE

on_sqlite = pytest.mark.parametrize("backend", [SQLITE])


def count(store: Store) -> int:
    """How many workers the store knows."""
    with store.asking() as driver:
        [(number,)] = driver.execute("SELECT count(*) FROM workers", (), fetching=True)
    return int(number)


def add(at: Session | Driver, name: str) -> None:
    """One more, with the driver."""
    moment = "2007-10-10 13:41:00"
    columns = "(id, kind, started_at, beat_at)"
    driver_of(at).execute(f"INSERT INTO workers {columns} VALUES ('{name}', 'mailer', '{moment}', '{moment}')", ())  # noqa: S608 - ours


def test_what_turns_out_to_need_a_session_is_done_once(store: Store) -> None:
    tried: list[type] = []

    def work(at: Session | Driver) -> int:
        tried.append(type(at))
        add(at, "one")
        return session_of(at).scalar(select(func.count(Worker.id))) or 0

    assert store.write_lightly(work) == 1
    assert tried == [Driver, Session]
    assert count(store) == 1


def test_what_needs_none_is_done_with_the_driver_and_what_breaks_is_not_done(store: Store) -> None:
    store.write_lightly(lambda at: add(at, "one"))

    def break_off(at: Session | Driver) -> None:
        add(at, "two")
        raise LookupError

    with pytest.raises(LookupError):
        store.write_lightly(break_off)
    assert count(store) == 1


@on_sqlite
def test_what_somebody_is_told_is_kept_is_on_the_disk_and_the_wait_for_it_holds_nobody_up(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []
    copy = tmp_path / "copy.db"

    def sync(log: int) -> None:
        # As the disk has it if the power goes after this.
        subprocess.run(["cp", str(store.engine.url.database), str(copy)], check=True)
        copy.with_name("copy.db-wal").write_bytes(os.pread(log, os.fstat(log).st_size, 0))
        with closing(sqlite3.connect(copy)) as kept:
            found.append([name for (name,) in kept.execute("SELECT id FROM workers ORDER BY id")])
        # Somebody else's turn.
        with store.writing() as session:
            beat(session, f"other {len(found)}", WorkerKind.MAILER, now=OPPS_DAY)

    monkeypatch.setattr(wal, "_sync", sync)
    store.drive(lambda driver: add(driver, "one"))
    store.drive(lambda driver: add(driver, "two"))
    assert found == [["one"], ["one", "other 1", "two"]]


class BrokenDisk:
    """It fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, file: int) -> None:
        self.failures -= 1
        if self.failures >= 0:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(file)


def kept_without_the_log(store: Store, folder: Path) -> list[str]:
    """Whom the database knows by itself."""
    copy = folder / "without.db"
    # Not with shutil: whoever closes the file here lets go of what SQLite holds of it.
    subprocess.run(["cp", str(store.engine.url.database), str(copy)], check=True)
    with closing(sqlite3.connect(copy)) as kept:
        return [name for (name,) in kept.execute("SELECT id FROM workers ORDER BY id")]


@on_sqlite
@pytest.mark.parametrize("failures", [1, 2])
def test_what_a_disk_did_not_take_in_the_log_is_kept_in_the_database(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    store.drive(lambda driver: add(driver, "one"))
    monkeypatch.setattr(wal, "_sync", BrokenDisk(failures))
    store.drive(lambda driver: add(driver, "two"))
    assert kept_without_the_log(store, tmp_path) == ["one", "two"]


@on_sqlite
def test_a_disk_that_breaks_while_it_is_waited_for_is_told_and_no_promise_rests_on_what_it_lost(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It fails the log, and twice what SQLite makes of that.
    monkeypatch.setattr(wal, "_sync", BrokenDisk(3))
    with pytest.raises(OperationalError, match="the disk: Input/output error"):
        store.drive(lambda driver: add(driver, "one"))
    store.drive(lambda driver: add(driver, "two"))
    assert kept_without_the_log(store, tmp_path) == ["one", "two"]
    store.drive(lambda driver: add(driver, "three"))
    assert kept_without_the_log(store, tmp_path) == ["one", "two"]


@on_sqlite
def test_while_somebody_reads_what_a_disk_lost_no_promise_is_made_and_nobody_waits_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_with_session() -> None:
        with store.writing() as session:
            add(session, "three")

    monkeypatch.setattr(wal, "_sync", BrokenDisk(1))
    began = time.monotonic()
    with closing(sqlite3.connect(str(store.engine.url.database))) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM workers").fetchone()
        with store.asking(), pytest.raises(OperationalError, match="the disk: Input/output error"):
            store.drive(lambda driver: add(driver, "one"))
        # With whichever connection: two are there now.
        with pytest.raises(OperationalError, match="the disk: Input/output error"):
            store.drive(lambda driver: add(driver, "two"))
        with pytest.raises(OperationalError, match="the disk: Input/output error"):
            add_with_session()
    # Much less than the half minute that others are waited for.
    assert time.monotonic() - began < BUSY_MILLISECONDS / 1000 / 3
    store.drive(lambda driver: add(driver, "four"))
    assert count(store) == 4


@on_sqlite
def test_who_has_the_driver_waits_for_the_disk_apart_and_a_session_by_itself(store: Store) -> None:
    with store.driving() as driver:
        assert driver.connection.execute("PRAGMA synchronous").fetchone() == (1,)
    with store.asking() as driver:
        assert driver.connection.execute("PRAGMA synchronous").fetchone() == (1,)
    with store.writing() as session:
        assert session.scalar(text("PRAGMA synchronous")) == 2


@on_sqlite
def test_writers_wait_for_their_turn_without_a_connection(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "_sync", lambda _file: None)
    used: set[int] = set()
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait(10)
        with store.driving() as driver:
            used.add(id(driver.connection))
            add(driver, f"{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert count(store) == 8
    # One that writes, and some that give theirs back.
    assert len(used) < 8


def test_a_store_in_a_folder_whose_name_is_not_utf_8_is_kept_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(wal, "_sync", synced.append)
    folder = tmp_path / os.fsdecode(b"Sch\xf6n")
    folder.mkdir()
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        log = wal.take_over(connection, wal.Trust())
        assert log
        log.sync()
        log.close()
    assert len(synced) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_database_whose_log_cannot_be_read_waits_for_the_disk_by_itself(tmp_path: Path, *, lost: bool) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE socks (id INTEGER)")
        if lost:
            Path(f"{path}-wal").unlink()
        log = wal.take_over(connection, wal.Trust())
        assert (log is None) is lost
        assert connection.execute("PRAGMA synchronous").fetchone() == ((2,) if lost else (1,))
        if log:
            log.close()


@on_sqlite
def test_what_breaks_is_undone_before_it_is_anothers_turn(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback_app.db.write_lock.BUSY_MILLISECONDS", 1)
    taken = store._turn.taken  # noqa: SLF001 - who waits for it goes on the moment it is free

    @contextmanager
    def taken_in_turn() -> Iterator[None]:
        try:
            with taken():
                yield
        finally:
            with closing(sqlite3.connect(str(store.engine.url.database), timeout=0)) as next_one:
                next_one.execute("BEGIN IMMEDIATE")

    monkeypatch.setattr(store._turn, "taken", taken_in_turn)  # noqa: SLF001 - see above
    with suppress(KeyError), store.driving() as driver:
        add(driver, "one")
        raise KeyError
    with store.driving() as driver:
        add(driver, "two")
    assert count(store) == 1


def test_a_database_that_keeps_no_log_waits_for_the_disk_by_itself(tmp_path: Path) -> None:
    for place in (":memory:", str(tmp_path / "socks.db")):
        with closing(sqlite3.connect(place)) as connection:
            assert wal.take_over(connection, wal.Trust()) is None
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_log_is_found_behind_a_link_and_when_it_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[os.stat_result] = []
    monkeypatch.setattr(wal, "_sync", lambda file: synced.append(os.fstat(file)))
    real, link = tmp_path / "real", tmp_path / "store.db"
    real.mkdir()
    link.symlink_to(real / "store.db")
    engine = make_engine(f"sqlite:///{link}")
    store, log = Store(engine, {}), real / "store.db-wal"
    for _ in range(2):
        with store.driving() as driver:
            driver.execute("CREATE TABLE IF NOT EXISTS socks (id INTEGER)", ())
        assert os.path.samestat(synced[-1], log.stat())
        # With its last connection it goes.
        store.close()
        assert not log.exists()
    assert len(synced) == 2


@on_sqlite
def test_a_store_that_does_not_take_it_in_says_so_as_everywhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback_app.db.write_lock.BUSY_MILLISECONDS", 1)
    with store.asking() as driver:
        driver.execute("PRAGMA busy_timeout = 1", ())
    with store.engine.connect() as other:
        other.connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            store.drive(lambda driver: add(driver, "one"))
        other.connection.rollback()
    store.drive(lambda driver: add(driver, "one"))
    assert count(store) == 1


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_a_server_that_is_gone_is_told_as_everywhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = store.engine.dialect.loaded_dbapi.OperationalError("the connection was refused")

    def refuse() -> None:
        raise gone

    monkeypatch.setattr(store.engine, "raw_connection", refuse)
    with pytest.raises(OperationalError, match="refused"):
        store.drive(lambda driver: add(driver, "one"))


def test_whoever_asks_meanwhile_sees_nothing_of_what_is_not_committed(store: Store) -> None:
    with store.driving() as driver:
        add(driver, "one")
        assert count(store) == 0
    assert count(store) == 1


def open_files(store: Store) -> int:
    """How often this process has the store's file open."""
    path = Path(str(store.engine.url.database))
    return sum(link.readlink() == path for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


@on_sqlite
def test_threads_that_come_and_go_leave_no_connections_behind(store: Store) -> None:
    assert count(store) == 0
    before = open_files(store)
    used: set[int] = set()

    def ask() -> None:
        with store.asking() as driver:
            used.add(id(driver.connection))

    for _ in range(10):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    # Nor is one closed by a thread that ends: a server's whole process would end with it.
    assert len(used) == 1
    gc.collect()
    # SQLite keeps one that was closed for the next that is opened, while this thread's holds a lock of its process.
    assert open_files(store) <= before + 1


@on_sqlite
def test_whoever_is_at_work_when_a_store_is_closed_finishes_it(store: Store, clock: Clock) -> None:
    with store.driving() as driver:
        add(driver, "one")
        store._connections.close()  # noqa: SLF001 - as `close` does, which waits for the turn
    assert count(store) == 1
    store.close()
    with store.writing() as session:
        beat(session, "two", WorkerKind.MAILER, now=clock.now())
    assert count(store) == 2


@on_sqlite
def test_a_fork_has_connections_of_its_own(store: Store) -> None:
    store.drive(lambda driver: add(driver, "one"))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            store.drive(lambda driver: add(driver, "two"))
            code = 0 if count(store) == 2 else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    store.drive(lambda driver: add(driver, "three"))
    assert count(store) == 3
