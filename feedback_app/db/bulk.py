"""Many rows in one go, as the database's driver takes them.

SQLAlchemy looks at every value several times, which is right for a row and long for a hundred thousand. Here a
statement is made once, and what rows hold goes to the driver as it is: bytes, text, numbers or None. Values that are
the same for all rows can be of any column's type.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

from sqlalchemy import ARRAY, Column, Dialect, Insert, Row, Table, Update, bindparam, func, insert, null, select, update
from sqlalchemy.orm import Session

from feedback_app.db.base import SQLITE
from feedback_app.db.prepared import Driver, driver_of, given_as


def insert_many(session: Session, table: Table, rows: Sequence[dict[str, Any]], **same: Any) -> None:  # noqa: ANN401 - whatever columns hold
    """Insert rows, with the same value for all in some columns."""
    if rows:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        _hand_over(session, table, columns, same, by_id=False)


def update_many(at: Session | Driver, table: Table, columns: Mapping[str, Sequence[Any]], **same: Any) -> None:  # noqa: ANN401 - the same
    """Change rows by their `id`, which is one of the columns, with the same value for all in some others."""
    if columns["id"]:
        _hand_over(at, table, columns, same, by_id=True)


def find_many(
    session: Session, key: Column[Any], values: Collection[Any], *columns: Column[Any], lock: bool = False
) -> Sequence[Row[Any]]:
    """The rows whose `key` is one of many values: these columns, as the driver gives them; locked, if wanted."""
    if not values:
        return []
    dialect = session.get_bind().dialect
    if dialect.name == SQLITE:
        # Nothing to lock: who writes is alone.
        text = _one_of(key, columns, dialect, len(values))
        return session.connection().exec_driver_sql(text, tuple(values)).all()
    text = _any_of(key, columns, dialect, lock=lock)
    return session.connection().exec_driver_sql(text, {"values": list(values)}).all()


def _hand_over(
    at: Session | Driver, table: Table, given: Mapping[str, Sequence[Any]], same: dict[str, Any], *, by_id: bool
) -> None:
    if len({len(column) for column in given.values()}) > 1:
        message = "columns are of the same rows: they are of one length"
        raise ValueError(message)
    driver = driver_of(at)
    dialect = driver.dialect
    fixed = {name: given_as(table.c[name].type, dialect, value) for name, value in same.items()}
    if dialect.name == SQLITE:
        # Written into the statement: None as a value of each row takes the driver longer than a word.
        nulls = tuple(name for name, value in fixed.items() if value is None)
        names = tuple(name for name in (*given, *fixed) if name not in nulls)
        text, order = _repeated(table, names, nulls, dialect, by_id=by_id)
        columns = (repeat(fixed[name]) if name in fixed else given[name] for name in order)
        driver.execute_for_each(text, list(zip(*columns, strict=False)))
    else:
        text = _at_once(table, tuple(given), tuple(fixed), dialect, by_id=by_id)
        driver.execute(text, {**given, **fixed})


@lru_cache(maxsize=64)
def _repeated(
    table: Table, columns: tuple[str, ...], nulls: tuple[str, ...], dialect: Dialect, *, by_id: bool
) -> tuple[str, list[str]]:
    """A statement for one row, which SQLite prepares once, and in turn the columns that it is given."""
    statement: Insert | Update = insert(table)
    if by_id:
        statement = update(table).where(table.c.id == bindparam("id", type_=table.c.id.type))
    if nulls:
        statement = statement.values({name: null() for name in nulls})
    compiled = statement.compile(dialect=dialect, column_keys=[name for name in columns if not by_id or name != "id"])
    return str(compiled), compiled.positiontup or []


@lru_cache(maxsize=64)
def _at_once(table: Table, given: tuple[str, ...], fixed: tuple[str, ...], dialect: Dialect, *, by_id: bool) -> str:
    """A statement for all rows: PostgreSQL would have to be asked once for each.

    The values of a column go there as an array, in its binary form: as text, each would be quoted.
    """
    kinds = {name: table.c[name].type.compile(dialect) for name in (*given, *fixed)}
    rows = ", ".join(f"%({name})b::{kinds[name]}[]" for name in given)
    source = f"FROM unnest({rows}) AS given ({', '.join(given)})"
    values = {name: f"given.{name}" for name in given} | {name: f"%({name})s::{kinds[name]}" for name in fixed}
    if by_id:
        changes = ", ".join(f"{name} = {value}" for name, value in values.items() if name != "id")
        return f"UPDATE {table.name} SET {changes} {source} WHERE {table.name}.id = given.id"  # noqa: S608 - names of ours
    return f"INSERT INTO {table.name} ({', '.join(values)}) SELECT {', '.join(values.values())} {source}"


@lru_cache(maxsize=16)
def _one_of(key: Column[Any], columns: tuple[Column[Any], ...], dialect: Dialect, count: int) -> str:
    """A question with a place for each of so many values."""
    statement = select(*columns).where(key.in_([None] * count))
    return str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))


@lru_cache(maxsize=16)
def _any_of(key: Column[Any], columns: tuple[Column[Any], ...], dialect: Dialect, *, lock: bool) -> str:
    """A question with one place for all values."""
    statement = select(*columns).where(key == func.any(bindparam("values", type_=ARRAY(key.type))))
    if lock:
        # In the order in which everybody locks them.
        statement = statement.order_by(key.table.c.id).with_for_update()
    # In the binary form: as text, each value of bytes would be quoted.
    return str(statement.compile(dialect=dialect)).replace("%(values)s", "%(values)b")
