"""The store: a database that is ready, and its transactions."""

import os
import random
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar, cast

from sqlalchemy import CursorResult, Delete, Engine, Pool, Update, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from feedback_app.db.base import SQLITE
from feedback_app.db.disk_failure import DiskFailure
from feedback_app.db.write_lock import WriteLock

MOST_TRIES = 8
LONGEST_RETRY_DELAY = 0.05
# PostgreSQL's error codes for a serialization failure and a detected deadlock.
RETRIED_ERRORS = frozenset({"40001", "40P01"})

Result = TypeVar("Result")


def rows_changed(session: Session, statement: Update | Delete) -> int:
    """Run an UPDATE or DELETE; return how many rows it changed."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def advisory_lock(session: Session, job: str) -> None:
    """Let only one transaction at a time do a job, on all machines. On SQLite there is only one writer anyway."""
    if session.get_bind().dialect.name != SQLITE:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(job))))


class Store:
    """A database that is ready, and its transactions; `info` travels with every session (the vault, for instance)."""

    def __init__(self, engine: Engine, info: dict[str, Any]) -> None:
        """Wrap an engine whose tables are there."""
        self.engine = engine
        self.info = info
        self._writing_engine = engine.execution_options(writing=True)
        self._write_lock = WriteLock(engine)
        self._disk_failure = DiskFailure(engine)
        _ENGINES.add(engine)

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which database it is."""
        return "sqlite" if self.engine.dialect.name == SQLITE else "postgresql"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session that sees one state of the store and changes nothing."""
        with Session(self.engine, info=self.info, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Yield a session that commits at the end, or rolls back on an error.

        On SQLite the write lock is taken at once: a transaction that began by reading could not wait for it later.
        """
        with (
            self._write_lock.held(),
            Session(self._writing_engine, info=self.info, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
        self._disk_failure.check()

    def write(self, work: Callable[[Session], Result]) -> Result:
        """Do some work in a transaction of its own; do it again if it collided with another transaction."""
        for _ in range(MOST_TRIES - 1):
            try:
                with self.writing() as session:
                    return work(session)
            except DBAPIError as error:
                if not _is_collision(error):
                    raise
                # Two transactions that collided must not meet again.
                time.sleep(random.uniform(0, LONGEST_RETRY_DELAY))  # noqa: S311 - no secret
        with self.writing() as session:
            return work(session)

    def close(self) -> None:
        """Close the connections."""
        self._write_lock.close()
        self.engine.dispose()


def _is_collision(error: DBAPIError) -> bool:
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", "") in RETRIED_ERRORS


_ENGINES: "weakref.WeakSet[Engine]" = weakref.WeakSet()
# A forked child keeps its parent's connections here: closing them would end what the parent does with them.
_PARENTS_POOLS: list[Pool] = []


def _give_up_parents_connections() -> None:
    for engine in _ENGINES:
        _PARENTS_POOLS.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_give_up_parents_connections)
