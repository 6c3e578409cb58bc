"""On PostgreSQL, whoever keeps a site is told which thread changed: nobody has to ask it of ten thousand."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Apply."""
    if op.get_bind().dialect.name == "sqlite":
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION tell_which_thread() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_notify('threads', NEW.id::text); RETURN NULL; END $$"
    )
    op.execute("DROP TRIGGER threads_told ON threads")
    # New ones come in great numbers, with a build or a backup that is put back: one word for all of them.
    op.execute(
        "CREATE TRIGGER threads_told AFTER INSERT ON threads FOR EACH STATEMENT EXECUTE FUNCTION tell_of_threads()"
    )
    op.execute(
        "CREATE TRIGGER thread_told AFTER UPDATE ON threads FOR EACH ROW "
        "WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION tell_which_thread()"
    )
