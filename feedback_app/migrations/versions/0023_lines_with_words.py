"""Of the audit log those lines are found by their time that hold words: a reader's line is in one index less."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Apply."""
    name = op.f("ix_audit_lines_at")
    held = sa.text("before IS NOT NULL OR after IS NOT NULL")
    op.drop_index(name, table_name="audit_lines")
    op.create_index(name, "audit_lines", ["at"], sqlite_where=held, postgresql_where=held)
