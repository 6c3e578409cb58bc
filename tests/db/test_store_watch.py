"""Waiting for a change of the store: the kernel or PostgreSQL tells at once, and a look a second is the safety net."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, select, text

from feedback_app.db import store_watch
from feedback_app.db.engine import make_engine
from feedback_app.db.store import Store
from feedback_app.db.store_watch import StoreWatch
from feedback_app.file_events import FileEvents
from feedback_app.heartbeats import Worker, WorkerKind, beat, new_worker_id
from tests.support.clock import OPPS_DAY
from tests.support.comments import OPPS, publish, say

LONG = 60.0


@pytest.fixture
def watch(store: Store) -> Iterator[StoreWatch]:
    """A watch on each database that has seen everything so far and, for an hour, does not look by itself."""
    publish(store, OPPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_watch, "CHECK_SECONDS", 3600.0)
        watch = StoreWatch(store)
        while watch.wait(0.1):
            pass
        yield watch
        watch.close()


def write(store: Store) -> None:
    """Commit something."""
    with store.writing() as session:
        beat(session, new_worker_id(), WorkerKind.MAILER, now=OPPS_DAY)


def test_a_commit_ends_the_wait_within_50_milliseconds(store: Store, watch: StoreWatch) -> None:
    latencies = []
    for number in range(5):
        committed: list[float] = []

        def comment(words: str = f"Use Bcc, {number}.", at: list[float] = committed) -> None:
            time.sleep(0.05)
            say(store, words)
            at.append(time.monotonic())

        thread = threading.Thread(target=comment)
        thread.start()
        assert watch.wait(LONG)
        noticed = time.monotonic()
        thread.join()
        latencies.append(noticed - committed[0])
        while watch.wait(0.2):
            pass
    # The median: another program can take the processor for longer than that.
    assert sorted(latencies)[2] < 0.05


def test_an_idle_watch_asks_once_a_second_at_most(sqlite_store: Store) -> None:
    statements: list[str] = []
    sqlite_store.engine.dispose()
    event.listen(sqlite_store.engine, "connect", lambda connection, _: connection.set_trace_callback(statements.append))
    watch = StoreWatch(sqlite_store)
    while watch.wait(0.1):
        pass
    statements.clear()
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert not watch.wait(0.5)
        # Reading is no change, and does not end the wait.
        with sqlite_store.reading() as session:
            session.execute(text("SELECT count(*) FROM threads"))
    assert 1 <= statements.count("PRAGMA data_version") <= 3
    watch.close()


def unavailable(*_: Path) -> FileEvents:
    """The kernel's answer where it has no events to tell, or no more."""
    message = "no inotify here"
    raise OSError(message)


def test_what_no_event_tells_of_is_found_by_the_look_a_second(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_watch, "FileEvents", unavailable)
    watch = StoreWatch(sqlite_store)
    while watch.wait(0.1):
        pass
    write(sqlite_store)
    started = time.monotonic()
    assert watch.wait(LONG)
    assert time.monotonic() - started < 5
    watch.close()


def test_a_commit_after_the_log_was_emptied_is_noticed(tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / "store.db").write_bytes(sqlite_template.read_bytes())
    store = Store(make_engine(f"sqlite:///{tmp_path / 'store.db'}"), {})
    watch = StoreWatch(store)
    for _ in range(2):
        while watch.wait(0.1):
            pass
        with sqlite3.connect(tmp_path / "store.db") as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        while watch.wait(0.1):
            pass
        write(store)
        assert watch.wait(LONG)
    watch.close()
    store.close()


def test_another_file_in_the_stores_place_is_a_change(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "store.db"
    file.write_bytes(sqlite_template.read_bytes())
    store = Store(make_engine(f"sqlite:///{file}"), {})
    watch = StoreWatch(store)
    while watch.wait(0.1):
        pass
    draft = tmp_path / "draft"
    draft.write_bytes(sqlite_template.read_bytes())
    with closing(sqlite3.connect(draft)) as restored:
        restored.execute("INSERT INTO workers VALUES ('restored', 'mailer', '2007-10-10', '2007-10-10')")
        restored.commit()
    for ending in ("-wal", "-shm"):
        file.with_name(file.name + ending).unlink()
    draft.replace(file)
    assert watch.wait(LONG)
    # And what is asked then is answered by the new file.
    with store.reading() as session:
        assert session.scalars(select(Worker.id)).all() == ["restored"]
    while watch.wait(0.1):
        pass
    write(store)
    assert watch.wait(LONG)
    watch.close()
    store.close()


def test_a_missing_file_is_not_made_by_looking_at_it(tmp_path: Path, sqlite_template: Path) -> None:
    file = tmp_path / "store.db"
    file.write_bytes(sqlite_template.read_bytes())
    store = Store(make_engine(f"sqlite:///{file}"), {})
    watch = StoreWatch(store)
    file.unlink()
    assert not watch.wait(0.1)
    assert not file.exists()
    watch.close()
    store.close()


def test_an_interruption_ends_the_wait(watch: StoreWatch) -> None:
    started = time.monotonic()
    threading.Timer(0.05, watch.interrupt).start()
    assert not watch.wait(LONG)
    # One that comes before the wait ends it, too.
    watch.interrupt()
    watch.interrupt()
    assert not watch.wait(LONG)
    assert time.monotonic() - started < LONG / 2
    assert not watch.wait(0.05)


def test_an_interruption_after_the_end_does_nothing(sqlite_store: Store) -> None:
    watch = StoreWatch(sqlite_store)
    watch.close()
    watch.interrupt()


def test_a_lost_connection_is_made_again(store: Store, watch: StoreWatch) -> None:
    if store.dialect == "postgresql":
        with store.writing() as session:
            session.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN threads'")
            )
    else:
        store.engine.dispose()
    while watch.wait(0.1):
        pass
    say(store, "And again: use Bcc.")
    assert watch.wait(LONG)
