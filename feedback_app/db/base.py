"""The tables' common base, and the column types they share."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    DateTime,
    Dialect,
    Enum,
    Index,
    MetaData,
    TextClause,
    TypeDecorator,
    text,
)
from sqlalchemy.orm import DeclarativeBase

# So long is a moment, with microseconds.
_WITHOUT_ZONE = len("2007-10-10 13:41:00.000000")


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


SQLITE = "sqlite"
# The largest number that PostgreSQL's integer holds. Asking for more is an error there, not an empty answer.
LARGEST_INTEGER = 2**31 - 1
