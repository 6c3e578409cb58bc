"""A snapshot of the replaced store: temporary tables that last as long as the restoring transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert, TableClause, column, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from feedback_app.comments.models import Comment, ConfirmationAsked, Following, Notice, Thread
from feedback_app.customers.models import Customer, Preference, Suppression
from feedback_app.db.base import SQLITE, Base
from feedback_app.db.setup import LOOKUP_CHECK, StoreFact
from feedback_app.db.store import rows_changed
from feedback_app.desk.models import Owner, OwnerPasskey, RecoveryCode
from feedback_app.mailing.models import Bounce, Delivery, Mailing
from feedback_app.security.crypto import KeyRing

# The tables whose numbers are in links and cookies.
NUMBERED = ("customers", "comments", "followings", "address_changes")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The replaced store: its facts about sealing keys, and the last numbers it gave. Its tables are `before_…`."""

    facts: dict[str, bytes]
    numbers: dict[str, int]


def snapshot_of(model: type[Base]) -> TableClause:
    """Return the snapshot of a table."""
    return table(f"before_{model.__tablename__}", *(column(one.name, one.type) for one in model.__table__.columns))


CUSTOMERS, PREFERENCES, SUPPRESSIONS = snapshot_of(Customer), snapshot_of(Preference), snapshot_of(Suppression)
COMMENTS, MAILINGS, DELIVERIES = snapshot_of(Comment), snapshot_of(Mailing), snapshot_of(Delivery)
OWNERS, RECOVERY_CODES, PASSKEYS = snapshot_of(Owner), snapshot_of(RecoveryCode), snapshot_of(OwnerPasskey)
BOUNCES, THREADS, FOLLOWINGS = snapshot_of(Bounce), snapshot_of(Thread), snapshot_of(Following)
NOTICES, ASKED = snapshot_of(Notice), snapshot_of(ConfirmationAsked)
TABLES = (
    CUSTOMERS,
    PREFERENCES,
    SUPPRESSIONS,
    COMMENTS,
    MAILINGS,
    DELIVERIES,
    OWNERS,
    RECOVERY_CODES,
    PASSKEYS,
    BOUNCES,
    THREADS,
    FOLLOWINGS,
    NOTICES,
    ASKED,
)


def take_snapshot(connection: Connection, ring: KeyRing) -> Snapshot | None:
    """Copy the store's tables; None when it can't be read, or was made with other keys."""
    try:
        with connection.begin_nested():
            facts = {row.name: row.value for row in connection.execute(select(StoreFact.name, StoreFact.value))}
            if facts.get(LOOKUP_CHECK) != ring.lookup_check:
                return None
            for one in TABLES:
                columns = ", ".join(each.name for each in one.columns)
                source = one.name.removeprefix("before_")
                connection.execute(text(f"CREATE TEMPORARY TABLE {one.name} AS SELECT {columns} FROM {source}"))  # noqa: S608 - our own names
            return Snapshot(facts, _numbers(connection))
    except DBAPIError:
        return None


def drop_snapshot(connection: Connection) -> None:
    """Drop the snapshot's tables."""
    for one in TABLES:
        connection.execute(text(f"DROP TABLE IF EXISTS {one.name}"))


def _numbers(connection: Connection) -> dict[str, int]:
    if connection.dialect.name == SQLITE:
        return dict(connection.execute(text("SELECT name, seq FROM sqlite_sequence")).all())
    asked = "SELECT last_value FROM {}_id_seq WHERE is_called"
    return {name: connection.scalar(text(asked.format(name))) or 0 for name in NUMBERED}


def update_rows(session: Session, statements: Iterable[Any]) -> int:
    """Run UPDATEs and return how many rows they changed."""
    done = sum(rows_changed(session, one.execution_options(synchronize_session=False)) for one in statements)
    session.expire_all()
    return done


def insert_rows(session: Session, statement: Insert) -> int:
    """Run an INSERT from a query and return how many rows it added."""
    return session.connection().execute(statement.execution_options(preserve_rowcount=True)).rowcount
