"""On PostgreSQL, whoever keeps a site is told of threads that changed: by the table, whatever process changed it."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Apply."""
    # SQLite has a number that grows with every commit, which serves the same end.
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION tell_of_threads() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_notify('threads', ''); RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER threads_told AFTER INSERT OR UPDATE ON threads "
        "FOR EACH STATEMENT EXECUTE FUNCTION tell_of_threads()"
    )
