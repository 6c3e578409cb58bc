"""A full disk under the store: one clear line, no letter is sent twice, and when there is room again work goes on."""

import logging
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import PoolProxiedConnection, text
from sqlalchemy.exc import OperationalError

from feedback_app.db.store import Store
from feedback_app.mailing.delivery.worker import STORE_RETRY_SECONDS, run_until
from feedback_app.mailing.mailings import services
from feedback_app.mailing.models import Mailing, MailingState
from tests.support.clock import Clock
from tests.support.databases import SQLITE
from tests.support.mailings import CROWD, counts, gather, held, state, worker_to
from tests.support.smtp import MailServer, mail_server


class Disk(Protocol):
    """The disk that a store is on."""

    def fill(self) -> None:
        """Let nothing more be written."""

    def clear(self) -> None:
        """Make room again."""


class FilesDisk:
    """SQLite's disk: a limit on file sizes fails writes as a full disk does."""

    def __init__(self, store: Store) -> None:
        self.log = Path(f"{store.engine.url.database}-wal")
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.log.stat().st_size, self.before[1]))

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


class ServersDisk:
    """PostgreSQL's disk: a trigger raises the error of a server that can't extend a table's file."""

    ANSWER = """
        CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'could not extend file "base/16384/16500": No space left on device'
            USING ERRCODE = 'disk_full', HINT = 'Check free disk space.';
        END $$
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.say(self.ANSWER)

    def say(self, statement: str) -> None:
        with self.store.writing() as session:
            session.execute(text(statement))

    def fill(self) -> None:
        self.say("CREATE TRIGGER no_room BEFORE UPDATE ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION no_room()")

    def clear(self) -> None:
        self.say("DROP TRIGGER no_room ON deliveries")


@pytest.fixture
def disk(store: Store) -> Iterator[Disk]:
    """The disk that the store is on; it is cleared at the end."""
    made: Disk = FilesDisk(store) if store.dialect == SQLITE else ServersDisk(store)
    yield made
    if isinstance(made, FilesDisk):
        made.clear()


def full_after(count: int, disk: Disk) -> Callable[[str, int], str | None]:
    """Return the script of a server that takes every letter, and whose disk is full after so many."""
    full = threading.Event()

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == count and not full.is_set():
            full.set()
            disk.fill()
        return None

    return script


@contextmanager
def server_and_full_disk(store: Store, clock: Clock, disk: Disk, *, canary: bool) -> Iterator[MailServer]:
    """Start a mailing whose disk is full once three letters were accepted; check at the end that each arrived once."""
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        if not canary:
            session.get_one(Mailing, mailing.id).canary = 0
    with mail_server(full_after(3, disk)) as server:
        yield server
    assert counts(store) == {"accepted": len(CROWD)}
    assert sorted(server.recipients()) == sorted(person.address for person in CROWD)


@pytest.mark.parametrize("canary", [True, False])
def test_on_a_full_disk_nothing_is_sent_twice_and_answers_are_kept(
    store: Store, clock: Clock, disk: Disk, *, canary: bool
) -> None:
    with server_and_full_disk(store, clock, disk, canary=canary) as server:
        worker = worker_to(server, store, max_in_flight="4")
        with pytest.raises(OperationalError):
            worker.work_once()
        disk.clear()
        assert 3 < len(server.letters) < len(CROWD)
        assert counts(store).get("submitting")
        worker.work_once()


@pytest.mark.parametrize("canary", [True, False])
def test_a_worker_on_a_full_disk_logs_one_line_a_try_and_goes_on_later(
    store: Store, clock: Clock, disk: Disk, caplog: pytest.LogCaptureFixture, *, canary: bool
) -> None:
    class Patience(threading.Event):
        """Ends when the mailing is sent; makes room when the worker waits for the store a second time."""

        waited = 0

        def wait(self, timeout: float | None = None) -> bool:
            if timeout == STORE_RETRY_SECONDS:
                self.waited += 1
                if self.waited == 2:
                    disk.clear()
            return self.is_set()

        def is_set(self) -> bool:
            return state(store) is MailingState.SENT

    with server_and_full_disk(store, clock, disk, canary=canary) as server, caplog.at_level(logging.INFO):
        stop = Patience()
        run_until(worker_to(server, store, max_in_flight="4"), stop)
    lines = caplog.messages
    assert stop.waited == len(lines) == 2
    for line in lines:
        assert line.startswith("The store does not work: ")
        assert line.endswith(". Trying again.")
        assert "disk" in line or "No space left on device" in line
        assert "@" not in line
        assert "\n" not in line


@pytest.mark.parametrize("first", [True, False])
def test_a_claim_whose_commit_seemed_to_fail_is_put_back_and_sent(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    """The commit succeeds, and then the connection to the database breaks."""
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        session.get_one(Mailing, mailing.id).canary = 0
    dialect = store.engine.dialect
    commit, lost = dialect.do_commit, False
    hung_up = OperationalError("COMMIT", {}, OSError("the server hung up"))

    def commit_and_break(connection: PoolProxiedConnection) -> None:
        nonlocal lost
        commit(connection)
        if not lost and (first or "accepted" in counts(store)) and counts(store).get("submitting"):
            lost = True
            raise hung_up

    monkeypatch.setattr(dialect, "do_commit", commit_and_break)
    with mail_server() as server:
        worker = worker_to(server, store, max_in_flight="4")
        with pytest.raises(OperationalError):
            worker.work_once()
        assert counts(store)["submitting"] == 4
        worker.work_once()
        assert lost
        assert counts(store) == {"accepted": len(CROWD)}
        assert sorted(server.recipients()) == sorted(person.address for person in CROWD)
