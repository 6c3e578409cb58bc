"""A full disk under the store: one clear line, nobody gets a letter twice, and when there is room again all goes on."""

import logging
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from feedback_app.db.prepared import Driver
from feedback_app.db.store import Store
from feedback_app.mailing.delivery.worker import STORE_PAUSE, run_until
from feedback_app.mailing.mailings import services
from feedback_app.mailing.models import Mailing, MailingState
from tests.support.clock import Clock
from tests.support.databases import SQLITE
from tests.support.mailings import CROWD, counts, gather, held, state, worker_to
from tests.support.smtp import MailServer, mail_server


class Disk(Protocol):
    """Where a store lies."""

    def fill(self) -> None:
        """Nothing more can be written."""

    def clear(self) -> None:
        """There is room again."""


class FilesDisk:
    """SQLite's: no file of this process grows any more, which it is told as by a disk that is full."""

    def __init__(self, store: Store) -> None:
        self.log = Path(f"{store.engine.url.database}-wal")
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.log.stat().st_size, self.before[1]))

    def clear(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


class ServersDisk:
    """PostgreSQL's: the server itself answers what it answers when it can't extend a table's file."""

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
    """The disk under the store."""
    made: Disk = FilesDisk(store) if store.dialect == SQLITE else ServersDisk(store)
    yield made
    if isinstance(made, FilesDisk):
        made.clear()


def full_after(count: int, disk: Disk) -> Callable[[str, int], str | None]:
    """A server that takes all, and a disk that is full after so many letters."""
    full = threading.Event()

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == count and not full.is_set():
            full.set()
            disk.fill()
        return None

    return script


@contextmanager
def server_and_full_disk(store: Store, clock: Clock, disk: Disk, *, canary: bool) -> Iterator[MailServer]:
    """A crowd's mailing is due; when three have their letter, nothing more can be written down."""
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


# With a canary a window needs a session, without one the driver does.
@pytest.mark.parametrize("canary", [True, False])
def test_on_a_full_disk_nothing_is_sent_twice_and_what_was_answered_is_written_down_later(
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
def test_a_worker_on_a_full_disk_says_one_line_at_a_time_and_goes_on_when_there_is_room(
    store: Store, clock: Clock, disk: Disk, caplog: pytest.LogCaptureFixture, *, canary: bool
) -> None:
    class Patience(threading.Event):
        """The worker waits twice for a store that does not work; the second time there is room again."""

        waited = 0

        def wait(self, timeout: float | None = None) -> bool:
            if timeout == STORE_PAUSE:
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
def test_what_was_claimed_though_the_worker_was_told_otherwise_goes_back_and_is_sent(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    """A commit that came to be, and then the disk or the way to the server broke."""
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        session.get_one(Mailing, mailing.id).canary = 0
    commit, lost = Driver.commit, False
    hung_up = OperationalError("COMMIT", {}, OSError("the server hung up"))

    def commit_and_break(driver: Driver) -> None:
        nonlocal lost
        commit(driver)
        if not lost and (first or "accepted" in counts(store)) and counts(store).get("submitting"):
            lost = True
            raise hung_up

    monkeypatch.setattr(Driver, "commit", commit_and_break)
    with mail_server() as server:
        worker = worker_to(server, store, max_in_flight="4")
        with pytest.raises(OperationalError):
            worker.work_once()
        assert counts(store)["submitting"] == 4
        worker.work_once()
        assert lost
        assert counts(store) == {"accepted": len(CROWD)}
        assert sorted(server.recipients()) == sorted(person.address for person in CROWD)
