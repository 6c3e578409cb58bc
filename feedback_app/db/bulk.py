"""Inserts, updates and look-ups of many rows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Row, Table, bindparam, insert, select, update
from sqlalchemy.orm import Session


def insert_many(session: Session, table: Table, rows: Sequence[Mapping[str, Any]], **shared: Any) -> None:  # noqa: ANN401 - whatever columns hold
    """Insert rows that share the values of some columns."""
    if rows:
        session.flush()
        session.execute(insert(table), [{**row, **shared} for row in rows])


def update_many(session: Session, table: Table, columns: Mapping[str, Sequence[Any]], **shared: Any) -> None:  # noqa: ANN401 - the same
    """Update the rows of these ids, each with its own values of some columns and shared values of others."""
    if not columns["id"]:
        return
    session.flush()
    changes = {name: bindparam(name) for name in columns if name != "id"} | shared
    statement = update(table).where(table.c.id == bindparam("row_id")).values(changes)
    names = ["row_id" if name == "id" else name for name in columns]
    session.execute(statement, [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def find_many(
    session: Session, key: Column[Any], values: Collection[Any], *columns: Column[Any], lock: bool = False
) -> Sequence[Row[Any]]:
    """Return these columns of the rows whose `key` is one of the values; with `lock` the rows are locked."""
    query = select(*columns).where(key.in_(values))
    # Locked in the order of ids, as everywhere, so that no two transactions wait for each other.
    return session.execute(query.order_by(key.table.c.id).with_for_update() if lock else query).all()
