"""Statements that are made once and handed to a database's driver as it takes them.

For what is asked or kept so often that making a statement, and a session around it, would cost more than running it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Dialect,
    Enum,
    Insert,
    LargeBinary,
    SelectBase,
    TypeDecorator,
    Update,
    bindparam,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

# What a column's values become on their way to the driver, or back; None where they are taken as they are.
_Changes = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's own connection, in whatever transaction it is."""

    dialect: Dialect
    connection: Any

    def execute(self, text: str, values: Any, *, fetching: bool = False) -> list[tuple[Any, ...]]:  # noqa: ANN401 - a driver's own
        """Run a statement; returns its rows, where they are to be fetched. Raises DBAPIError."""
        try:
            cursor = self.connection.execute(text, values)
            return cursor.fetchall() if fetching else []
        except self.dialect.loaded_dbapi.Error as error:
            raise self._told(error, text) from error

    def execute_for_each(self, text: str, rows: Sequence[Any]) -> None:
        """Run a statement once for each row of values. Raises DBAPIError."""
        try:
            self.connection.executemany(text, rows)
        except self.dialect.loaded_dbapi.Error as error:
            raise self._told(error, text) from error

    def commit(self) -> None:
        """End a transaction. Raises DBAPIError."""
        try:
            self.connection.commit()
        except self.dialect.loaded_dbapi.Error as error:
            raise self._told(error, "COMMIT") from error

    def _told(self, error: Exception, text: str) -> BaseException:
        return as_everybody_catches_it(error, text, self.dialect)


def as_everybody_catches_it(error: Exception, text: str, dialect: Dialect) -> BaseException:
    """A driver's error as SQLAlchemy's; without the values, which are what people typed."""
    kind = dialect.loaded_dbapi.Error
    return DBAPIError.instance(text, None, error, kind, hide_parameters=True, dialect=dialect)


class NeedsSession(Exception):  # noqa: N818 - asks for a transaction of the other kind, see Store.write_lightly
    """What was done with the driver alone turned out to need a session."""


def driver_of(at: Session | Driver) -> Driver:
    """The driver below a session, in the session's transaction, with all that was changed in it; or itself."""
    if isinstance(at, Driver):
        return at
    at.flush()
    connection = at.connection()
    return Driver(connection.dialect, connection.connection.driver_connection)


def session_of(at: Session | Driver) -> Session:
    """The session, where there is one. Raises NeedsSession."""
    if isinstance(at, Driver):
        raise NeedsSession
    return at


@dataclass(frozen=True, slots=True)
class _Made:
    text: str
    # The values that the statement itself has, and what some of the others go through; all in the driver's order, if it
    # wants one.
    own: dict[str, Any]
    into: list[tuple[str, Callable[[Any], Any]]]
    order: tuple[str, ...] | None
    out_of: tuple[_Changes, ...]


class Prepared:
    """A statement with named parameters."""

    def __init__(self, statement: Insert | Update | SelectBase, columns: Sequence[str] | None = None) -> None:
        """Keep a statement; it is made for a kind of database when it is first run there.

        `columns` are those of an INSERT for which values will be given, by the columns' names.
        """
        self._statement = statement
        self._columns = columns
        self._made: dict[str, _Made] = {}

    def run(self, driver: Driver, **values: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401 - whatever columns hold
        """Run it with these values; returns the rows that it gives back, if it does. Raises DBAPIError."""
        made = self._made.get(driver.dialect.name) or self._make(driver.dialect)
        given = made.own | values
        for name, change in made.into:
            given[name] = change(values[name])
        ordered = given if made.order is None else [given[name] for name in made.order]
        rows = driver.execute(made.text, ordered, fetching=bool(made.out_of))
        if not rows or not any(made.out_of):
            return rows
        # A column at a time: most are taken as they are.
        changes = zip(made.out_of, zip(*rows, strict=True), strict=True)
        return list(zip(*(map(change, column) if change else column for change, column in changes), strict=True))

    def _make(self, dialect: Dialect) -> _Made:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns)
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        fixed = {name for name, bind in binds.items() if not bind.required}
        made = _Made(
            str(compiled),
            {name: given_as(binds[name].type, dialect, compiled.params[name]) for name in fixed},
            [
                (name, change)
                for name, bind in binds.items()
                if name not in fixed and (change := _into(bind.type, dialect))
            ],
            None if compiled.positiontup is None else tuple(compiled.positiontup),
            tuple(_out_of(column.type, dialect) for column in self._statement.exported_columns),
        )
        self._made[dialect.name] = made
        return made


def given_as(kind: TypeEngine[Any], dialect: Dialect, value: object) -> object:
    """A column's value as the driver takes it."""
    change = _into(kind, dialect)
    return change(value) if change else value


def _into(kind: TypeEngine[Any], dialect: Dialect) -> _Changes:
    # The drivers take bytes as they are, and would be given a view of them.
    return None if isinstance(kind, LargeBinary) else kind.dialect_impl(dialect).bind_processor(dialect)


def _out_of(kind: TypeEngine[Any], dialect: Dialect) -> _Changes:
    if isinstance(kind, Enum) and kind.enum_class:
        # SQLAlchemy asks two functions of its own for every word.
        members: dict[str | None, object] = {None: None}
        members.update(zip(kind.enums, kind.enum_class, strict=True))
        return members.__getitem__
    return kind.dialect_impl(dialect).result_processor(dialect, None)


class _Numbers(TypeDecorator[list[int]]):
    """A list of numbers: an array, or JSON where there is none."""

    impl = JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """By the database."""
        return dialect.type_descriptor(ARRAY(BigInteger()) if dialect.name == "postgresql" else JSON())


class AnyNumber(ColumnElement[bool]):
    """That a column is one of the numbers of a parameter, however many these are: `in_()` is another text for each."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: InstrumentedAttribute[int] | InstrumentedAttribute[int | None], parameter: str) -> None:
        """Take the column, and the parameter's name."""
        self.column: ColumnElement[Any] = column.expression
        self.numbers = bindparam(parameter, type_=_Numbers)

    def self_group(self, against: OperatorType | None = None) -> Self:  # noqa: ARG002 - the base's signature
        """As it is: `… IN (…) = 1`, which is made of other truths where there is no type for them, uses no index."""
        return self


@compiles(AnyNumber)
def _in_json(element: AnyNumber, compiler: SQLCompiler, **more: Any) -> str:  # noqa: ANN401 - the base's signature
    column, numbers = (compiler.process(one, **more) for one in (element.column, element.numbers))
    return f"{column} IN (SELECT value FROM json_each({numbers}))"  # noqa: S608 - compiled by SQLAlchemy


@compiles(AnyNumber, "postgresql")
def _in_array(element: AnyNumber, compiler: SQLCompiler, **more: Any) -> str:  # noqa: ANN401 - the same
    column, numbers = (compiler.process(one, **more) for one in (element.column, element.numbers))
    return f"{column} = ANY ({numbers})"
