"""The tables as they were before a restore, kept aside as temporary tables for the length of its transaction."""

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

# Links and cookies name people, comments and what they ask for by number.
NUMBERED = ("customers", "comments", "followings", "address_changes")


@dataclass(frozen=True, slots=True)
class Before:
    """The store as it was: its sealing keys' facts and the last numbers it gave. Its tables are `before_…`."""

    facts: dict[str, bytes]
    numbers: dict[str, int]


def aside(model: type[Base]) -> TableClause:
    """A table as it was before the restore."""
    return table(f"before_{model.__tablename__}", *(column(one.name, one.type) for one in model.__table__.columns))


CUSTOMERS, PREFERENCES, SUPPRESSIONS = aside(Customer), aside(Preference), aside(Suppression)
COMMENTS, MAILINGS, DELIVERIES = aside(Comment), aside(Mailing), aside(Delivery)
OWNERS, RECOVERY_CODES, PASSKEYS = aside(Owner), aside(RecoveryCode), aside(OwnerPasskey)
BOUNCES, THREADS, FOLLOWINGS = aside(Bounce), aside(Thread), aside(Following)
NOTICES, ASKED = aside(Notice), aside(ConfirmationAsked)
ASIDE = (
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


def keep_aside(connection: Connection, ring: KeyRing) -> Before | None:
    """Keep what the store holds now aside; None when it can't be read, or was made with other keys."""
    try:
        with connection.begin_nested():
            facts = {row.name: row.value for row in connection.execute(select(StoreFact.name, StoreFact.value))}
            if facts.get(LOOKUP_CHECK) != ring.lookup_check:
                return None
            for one in ASIDE:
                columns = ", ".join(each.name for each in one.columns)
                source = one.name.removeprefix("before_")
                connection.execute(text(f"CREATE TEMPORARY TABLE {one.name} AS SELECT {columns} FROM {source}"))  # noqa: S608 - our own names
            return Before(facts, _numbers(connection))
    except DBAPIError:
        return None


def forget_aside(connection: Connection) -> None:
    """Drop what was kept aside."""
    for one in ASIDE:
        connection.execute(text(f"DROP TABLE IF EXISTS {one.name}"))


def _numbers(connection: Connection) -> dict[str, int]:
    if connection.dialect.name == SQLITE:
        return dict(connection.execute(text("SELECT name, seq FROM sqlite_sequence")).all())
    asked = "SELECT last_value FROM {}_id_seq WHERE is_called"
    return {name: connection.scalar(text(asked.format(name))) or 0 for name in NUMBERED}


def update_rows(session: Session, statements: Iterable[Any]) -> int:
    """Run UPDATEs; returns how many rows they changed."""
    done = sum(rows_changed(session, one.execution_options(synchronize_session=False)) for one in statements)
    session.expire_all()
    return done


def insert_rows(session: Session, statement: Insert) -> int:
    """Run an INSERT from a query; returns how many rows it added."""
    return session.connection().execute(statement.execution_options(preserve_rowcount=True)).rowcount
