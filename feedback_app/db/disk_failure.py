"""What a SQLite store may still promise after a disk failed to sync its log."""

from sqlite3 import SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError

from feedback_app.db.base import SQLITE

# A checkpoint waits this long for readers of the log: nobody can write meanwhile.
READERS_WAIT_MILLISECONDS = 200
FAILED_SYNC = frozenset({SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC})


class DiskFailure:
    """Notices failed syncs of an engine's log, and holds back promises until a checkpoint has succeeded.

    The kernel reports a failed sync once; a later sync succeeds although the pages of the failed one may never have
    reached the disk. A commit that succeeds after a failed sync could therefore rest on a log with a hole in it, which
    a power cut would uncover. A truncating checkpoint copies the whole log into the database file and empties it;
    after that the log can be trusted again, as it can after the process was started anew.
    """

    def __init__(self, engine: Engine) -> None:
        """Watch an engine. On PostgreSQL, whose server looks after its own log, there is nothing to watch."""
        self._engine = engine
        self._failure: BaseException | None = None
        if engine.dialect.name == SQLITE:
            event.listen(engine, "handle_error", self._notice)

    def check(self) -> None:
        """Make sure that everything committed so far will last; call it after a commit and before telling anyone.

        Raises OperationalError as long as no checkpoint succeeds after a failed sync.
        """
        if self._failure is None:
            return
        if not any(self._is_checkpointed() for _ in range(2)):
            statement = "PRAGMA wal_checkpoint(TRUNCATE)"
            raise OperationalError(statement, None, self._failure, hide_parameters=True)
        self._failure = None

    def _notice(self, context: ExceptionContext) -> None:
        code: Any = getattr(context.original_exception, "sqlite_errorcode", None)
        if code in FAILED_SYNC:
            self._failure = context.original_exception

    def _is_checkpointed(self) -> bool:
        try:
            with self._engine.connect().execution_options(autocommit=True) as connection:
                usual = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {READERS_WAIT_MILLISECONDS}")
                try:
                    (busy, *_) = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout = {usual}")
        except DBAPIError:
            return False
        return not busy
