"""What is done while a transaction is committed: it is done when the transaction is, and never instead of it."""

import os
import threading

import pytest
from sqlalchemy import select

from feedback_app.db import Store
from feedback_app.driver import Driver
from feedback_app.store import StoreFact


def note(at: object) -> None:
    """Write a fact down."""
    assert isinstance(at, Driver)
    mark = "?" if at.dialect.name == "sqlite" else "%s"
    at.execute(f"INSERT INTO store_facts (name, value) VALUES ({mark}, {mark})", ("socks", b"two"))  # noqa: S608


def facts(store: Store) -> list[bytes]:
    """What is written down."""
    with store.reading() as session:
        return list(session.scalars(select(StoreFact.value).where(StoreFact.name == "socks")))


def test_what_is_done_meanwhile_is_done_by_somebody_else_and_waited_for(store: Store) -> None:
    done = list[int]()
    store.write_lightly(note, lambda: done.append(threading.get_ident()))
    assert facts(store) == [b"two"]
    [other] = done
    assert other != threading.get_ident()


def test_what_fails_meanwhile_is_heard_of_and_undoes_nothing(store: Store) -> None:
    def fail() -> None:
        message = "no socks left"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="no socks left"):
        store.write_lightly(note, fail)
    assert facts(store) == [b"two"]


def test_a_transaction_that_fails_has_nothing_done_meanwhile(store: Store) -> None:
    done = list[int]()

    def fail(at: object) -> None:
        note(at)
        message = "no socks left"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="no socks left"):
        store.write_lightly(fail, lambda: done.append(1))
    assert facts(store) == []
    assert not done


def test_others_have_their_turn_while_somebody_still_does_something(sqlite_store: Store) -> None:
    def write_too() -> None:
        # By another thread: this one has its turn until it is given back, and the test would stand still.
        with sqlite_store.writing() as session:
            session.add(StoreFact(name="more socks", value=b"three"))

    sqlite_store.write_lightly(note, write_too)
    with sqlite_store.reading() as session:
        assert session.get(StoreFact, "more socks")


def test_what_fails_beside_a_transaction_that_fails_does_not_hide_it(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Driver) -> None:
        message = "the disk is full"
        raise RuntimeError(message)

    def fail_too() -> None:
        message = "no socks left"
        raise RuntimeError(message)

    monkeypatch.setattr(Driver, "commit", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        sqlite_store.write_lightly(note, fail_too)
    assert facts(sqlite_store) == []


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_has_a_thread_of_its_own(sqlite_store: Store) -> None:
    sqlite_store.write_lightly(note, lambda: None)
    child = os.fork()
    if child == 0:
        done = list[int]()
        try:
            sqlite_store.write_lightly(lambda _: None, lambda: done.append(1))
        finally:
            os._exit(len(done))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
