"""The SQLAlchemy engine for the store's URL, with what SQLite must be told on every connection."""

from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    create_engine,
    event,
)
from sqlalchemy.engine import make_url

from feedback_app.db.base import SQLITE
from feedback_app.db.write_lock import BUSY_MILLISECONDS


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
