"""The tables' common base, the engine, and transactions that read or write: sessions, or the driver alone."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeVar, cast

from sqlalchemy import (
    Connection,
    CursorResult,
    DateTime,
    Delete,
    Dialect,
    Engine,
    Enum,
    Index,
    MetaData,
    TextClause,
    TypeDecorator,
    Update,
    create_engine,
    event,
    func,
    select,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session

from feedback_app.db.own_connections import OwnConnections
from feedback_app.db.prepared import SQLITE, Driver, NeedsSession
from feedback_app.db.write_lock import BUSY_MILLISECONDS, Turn

MOST_TRIES = 8
# So long is a moment, with microseconds.
_WITHOUT_ZONE = len("2007-10-10 13:41:00.000000")
# PostgreSQL: serialization failure, deadlock detected.
GAVE_WAY = frozenset({"40001", "40P01"})

Done = TypeVar("Done")
Given = TypeVar("Given")


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in UTC: aware in Python on every database; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: SQLite keeps no zone, so it gets UTC without one."""
        if value is None:
            return None
        value = _in_utc(value)
        return value.replace(tzinfo=None) if dialect.name == SQLITE else value

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """To the driver. For SQLite it is written at once as SQLAlchemy would put it together of its parts."""
        if dialect.name != SQLITE:
            return super().bind_processor(dialect)

        def written(value: datetime | None) -> str | None:
            return None if value is None else _in_utc(value).isoformat(" ", "microseconds")[:_WITHOUT_ZONE]

        return written

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - the base's signature
        """From the database: always UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        message = "a moment needs its time zone"
        raise ValueError(message)
    return moment.astimezone(UTC)


def word(kind: type[StrEnum]) -> Enum:
    """A column of an enum, kept as its word; the words are the enum's business, not a constraint's."""
    return Enum(
        kind, native_enum=False, length=20, values_callable=lambda members: [member.value for member in members]
    )


def few(column: str, *more: str, where: TextClause | None = None, unique: bool = False) -> Index:
    """An index of few of a table's rows: those that are `where` says, or where the column is not empty.

    Migrations say it to PostgreSQL, too: here it would import that dialect and its drivers for every shop on SQLite.
    """
    where = text(f"{column} IS NOT NULL") if where is None else where
    return Index(None, column, *more, unique=unique, sqlite_where=where)


class Base(DeclarativeBase):
    """All tables. Constraints are named by convention, so that a migration can name them again."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UTCDateTime}


def make_engine(url: str) -> Engine:
    """An engine for a store's URL, with what SQLite must be told on every connection.

    An error names no parameters: they are what people typed, and errors end in logs.
    """
    if make_url(url).get_backend_name() != SQLITE:
        return create_engine(url, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_MILLISECONDS / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
    # The driver's own way of beginning transactions is off: the "begin" event says which kind is wanted.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # FULL, not NORMAL: with NORMAL a commit in WAL mode can be lost with the power, and a lost commit here is a lost
    # "no" or a letter sent twice. Where others would have to wait for it, it is done apart: see wal.py.
    cursor.execute("PRAGMA synchronous = FULL")
    # What is erased is overwritten, not just forgotten: a copied file must not hold it in its free pages.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def changed(session: Session, statement: Update | Delete) -> int:
    """Run an UPDATE or DELETE; returns how many rows it changed."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount


def alone_in(session: Session, doing: str) -> None:
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
        self._turn = Turn(engine)
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
