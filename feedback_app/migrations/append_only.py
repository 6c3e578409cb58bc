"""Tables that are only ever added to: the database itself refuses to change or delete a line of theirs.

Alembic's batch mode rebuilds a SQLite table and drops its triggers without a word, so every migration that touches one
of these tables ends with `keep_append_only()`, which makes all of them anew.
"""

from alembic import op

TABLES = {"consent_events": "id", "wordings": "hash"}


def keep_append_only() -> None:
    """Make the triggers, in the place of those that are there."""
    if op.get_bind().dialect.name == "sqlite":
        for table, key in TABLES.items():
            # INSERT OR REPLACE deletes without a trigger's noticing, so a line that is there can't be inserted again.
            there = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"  # noqa: S608 - our own names
            for verb, when in (("UPDATE", ""), ("DELETE", ""), ("INSERT", there)):
                name = f"{table}_no_{verb.lower()}"
                op.execute(f"DROP TRIGGER IF EXISTS {name}")
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {when} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is only ever added to'); END"
                )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION only_ever_added_to() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is only ever added to', TG_TABLE_NAME; END $$"
    )
    for table in TABLES:
        op.execute(f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}")
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION only_ever_added_to()"
        )
