"""The tables' common base, the engine, and transactions that read or write: sessions, or the driver alone."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal, TypeVar, cast

from sqlalchemy import (
    CursorResult,
    Delete,
    Engine,
    Update,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from feedback_app.db.base import SQLITE
from feedback_app.db.own_connections import OwnConnections
from feedback_app.db.prepared import Driver, NeedsSession
from feedback_app.db.write_lock import WriteLock

MOST_TRIES = 8
# PostgreSQL: serialization failure, deadlock detected.
GAVE_WAY = frozenset({"40001", "40P01"})

Done = TypeVar("Done")
Given = TypeVar("Given")


def rows_changed(session: Session, statement: Update | Delete) -> int:
    """Run an UPDATE or DELETE; returns how many rows it changed."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def advisory_lock(session: Session, doing: str) -> None:
    """Let only one transaction at a time do something, on all machines. On SQLite a writer is alone anyway."""
    if session.get_bind().dialect.name != SQLITE:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(doing))))


def _gave_way(error: DBAPIError) -> bool:
    """Whether a transaction was ended for another's sake, and can be done again."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in GAVE_WAY


def _until_done(transaction: Callable[[], AbstractContextManager[Given]], work: Callable[[Given], Done]) -> Done:
    for _ in range(MOST_TRIES - 1):
        try:
            with transaction() as given:
                return work(given)
        except DBAPIError as error:
            if not _gave_way(error):
                raise
            time.sleep(random.uniform(0, 0.05))  # noqa: S311 - so that the two don't meet again
    with transaction() as given:
        return work(given)


class Store:
    """A database that is ready, and its transactions: in sessions, with which `info` travels, or the driver's alone."""

    def __init__(self, engine: Engine, info: dict[str, Any]) -> None:
        """Wrap an engine whose tables are there."""
        self.engine = engine
        self.info = info
        self._writing = engine.execution_options(writing=True)
        self._turn = WriteLock(engine)
        self._connections = OwnConnections(engine)

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which database it is."""
        return "sqlite" if self.engine.dialect.name == SQLITE else "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the store and changes nothing."""
        with Session(self.engine, info=self.info, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def asking(self) -> Iterator[Driver]:
        """The driver's own connection, for a question or two that are asked all the time; nothing is changed."""
        with self._connections.taken() as own:
            yield Driver(self.engine.dialect, own.connection)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back on an error.

        On SQLite the write lock is taken at once: a transaction that starts by reading could not wait for it later.
        """
        with (
            self._turn.taken(),
            Session(self._writing, info=self.info, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
        self._connections.sync_again()

    @contextmanager
    def driving(self) -> Iterator[Driver]:
        """The driver's own connection in a transaction, which is committed at the end, or rolled back on an error.

        For what comes in all the time and is two or three statements: a session takes longer than they do.
        """
        with ExitStack() as held:
            with self._turn.taken():
                own = held.enter_context(self._connections.taken())
                driver = Driver(self.engine.dialect, own.connection)
                try:
                    if self.dialect == SQLITE:
                        driver.execute("BEGIN IMMEDIATE", ())
                    yield driver
                    driver.commit()
                finally:
                    # Before the turn is another's.
                    own.undo()
            # Nobody has to wait for the disk but whoever is told that it is kept.
            own.sync()

    def write(self, work: Callable[[Session], Done]) -> Done:
        """Do some work in a transaction of its own; again, if it had to give way to another one."""
        return _until_done(self.writing, work)

    def drive(self, work: Callable[[Driver], Done]) -> Done:
        """The same with the driver's own connection."""
        return _until_done(self.driving, work)

    def write_lightly(self, work: Callable[[Session | Driver], Done]) -> Done:
        """Do some work with the driver's own connection; all of it again with a session, where it needs one."""
        try:
            return self.drive(work)
        except NeedsSession:
            return self.write(work)

    def close(self) -> None:
        """Give the connections back."""
        self._connections.close()
        self._turn.close()
        self.engine.dispose()
