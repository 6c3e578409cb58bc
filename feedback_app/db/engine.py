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
    """Return an engine for a store's URL.

    On SQLite a connection's execution options choose how a transaction begins: at once with the write lock
    (`writing=True`), not at all (`autocommit=True`), or at the first read (neither).

    Errors name no parameters: those are what people typed, and errors end up in logs.
    """
    if make_url(url).get_backend_name() != SQLITE:
        return create_engine(url, pool_pre_ping=True, hide_parameters=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_MILLISECONDS / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI connection has no common type
    # The driver begins no transactions by itself: `_begin_sqlite` says which kind is wanted.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # FULL, not NORMAL: with NORMAL a power cut can lose a commit in WAL mode, and a lost commit here is a lost "no" or
    # a letter sent twice.
    cursor.execute("PRAGMA synchronous = FULL")
    # Erased data is overwritten, so that a copied file does not hold it in free pages.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("autocommit", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writing", False) else "BEGIN")
