"""The history of the tables: no drift, no lost trigger, no lost row, from every revision that ever landed."""

from collections.abc import Iterator

import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, String, inspect, text
from sqlalchemy.exc import DatabaseError

import feedback_app.migrations.tables
from feedback_app.customers.models import Frequency
from feedback_app.db.base import Base
from feedback_app.db.engine import make_engine
from feedback_app.db.setup import alembic_config, head_revision, migrating
from feedback_app.db.store import Store
from feedback_app.migrations.append_only import TABLES, keep_append_only
from tests.support.clock import OPPS_DAY
from tests.support.people import ALICE, welcome

REVISIONS = sorted(revision.revision for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions())
# Somebody's choice and its proof, as each revision keeps them.
ROWS = {
    "wordings": "INSERT INTO wordings (hash, text) VALUES (:hash, 'Yes')",
    "customers": (
        "INSERT INTO customers (id, fingerprint, address, name_display, format, created_at) "
        "VALUES (7, :hash, :hash, 'undisclosed', 'html', '2007-10-10 00:00:00')"
    ),
    "preferences": "INSERT INTO preferences VALUES (7, 'specials', 'each', '2007-10-10 00:00:00')",
    "consent_events": (
        "INSERT INTO consent_events (id, customer_id, topic, action, frequency, channel, wording_hash, at) "
        "VALUES (1, 7, 'specials', 'given', 'each', 'form', :hash, '2007-10-10 00:00:00')"
    ),
}


@pytest.fixture
def empty(empty_store_url: str) -> Iterator[Engine]:
    """A database without any table."""
    engine = make_engine(empty_store_url.replace("postgresql:", "postgresql+psycopg:"))
    yield engine
    engine.dispose()


def migrate(engine: Engine, revision: str) -> None:
    with engine.execution_options(writing=True).begin() as connection:
        command.upgrade(alembic_config(connection), revision)


def triggers(connection: Connection) -> int:
    tables = (
        "sqlite_master WHERE type = 'trigger'"
        if connection.dialect.name == "sqlite"
        else "pg_trigger WHERE NOT tgisinternal"
    )
    return connection.scalar(text(f"SELECT count(*) FROM {tables}")) or 0  # noqa: S608 - two fixed texts


def still_refused(connection: Connection) -> set[tuple[str, str]]:
    """What the database refuses to do to the record."""
    refused = set()
    for table, key in TABLES.items():
        changes = {"UPDATE": f"UPDATE {table} SET {key} = {key}", "DELETE": f"DELETE FROM {table}"}  # noqa: S608 - our own names
        for verb, change in changes.items():
            try:
                with connection.begin_nested() as attempt:
                    connection.execute(text(change))
                    attempt.rollback()
            except DatabaseError:
                refused.add((table, verb))
    return refused


def test_the_last_migration_is_the_one_the_program_wants() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_current_head() == head_revision() == REVISIONS[-1]


def test_the_migrations_make_exactly_the_tables_that_the_program_describes(empty: Engine) -> None:
    assert feedback_app.migrations.tables.comments
    migrate(empty, "head")
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_every_constraint_has_a_name_by_convention(store: Store) -> None:
    tables = inspect(store.engine)
    for table in set(tables.get_table_names()) - {"alembic_version"}:
        named = [
            *tables.get_foreign_keys(table),
            *tables.get_unique_constraints(table),
            tables.get_pk_constraint(table),
        ]
        for constraint in named:
            # SQLite gives no name to the key of a table whose numbers are never given twice.
            name = str(constraint["name"] or "pk_")
            assert name.startswith(("fk_", "uq_", "pk_")), (table, constraint)


@pytest.mark.parametrize("revision", REVISIONS)
def test_somebodys_choice_survives_the_upgrade_from_every_revision(empty: Engine, revision: str) -> None:
    migrate(empty, revision)
    with empty.execution_options(writing=True).begin() as connection:
        for statement in ROWS.values():
            connection.execute(text(statement), {"hash": b"h" * 32})
    migrate(empty, "head")
    with empty.connect() as connection:
        assert still_refused(connection) == {(table, verb) for table in TABLES for verb in ("UPDATE", "DELETE")}
        for table in ROWS:
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 1, table  # noqa: S608 - our own names


@pytest.mark.parametrize("table", ["customers", "consent_events", "wordings", "preferences"])
def test_rebuilding_a_table_loses_no_choice_and_no_trigger(store: Store, table: str) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with migrating(store.engine) as connection:
        before = triggers(connection)
        with Operations.context(MigrationContext.configure(connection)):
            with op.batch_alter_table(table, recreate="auto") as batch:
                batch.add_column(Column("remark", String(10), server_default=""))
                batch.alter_column("remark", nullable=False)
            keep_append_only()
        assert triggers(connection) == before
    with store.reading() as session:
        for kept in ("customers", "preferences", "consent_events", "wordings"):
            assert session.scalar(text(f"SELECT count(*) FROM {kept}")) == 1, kept  # noqa: S608 - our own names
        if store.dialect == "sqlite":
            assert session.scalar(text("PRAGMA foreign_keys")) == 1


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("change", ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}"])
def test_nobody_can_rewrite_the_record_of_consents(store: Store, table: str, change: str) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    column = {"consent_events": "topic", "wordings": "text"}[table]
    with pytest.raises(DatabaseError, match="only ever added to"), store.writing() as session:
        session.execute(text(change.format(table=table, column=column)))
    with store.reading() as session:
        assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 1  # noqa: S608 - our own names


@pytest.mark.parametrize(("table", "key"), TABLES.items())
def test_nobody_can_replace_a_line_of_the_record(sqlite_store: Store, table: str, key: str) -> None:
    welcome(sqlite_store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with pytest.raises(DatabaseError, match="only ever added to"), sqlite_store.writing() as session:
        session.execute(text(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} ORDER BY {key}"))  # noqa: S608 - our own names
