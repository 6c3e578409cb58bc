"""What most comments and audit lines don't have stands in no index for them: posting writes fewer pages."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

INDEXES = (("comments", "foreign_hash", True), ("comments", "customer_id", False), ("audit_lines", "batch", False))


def upgrade() -> None:
    """Apply."""
    for table, column, unique in INDEXES:
        name = op.f(f"ix_{table}_{column}")
        given = sa.text(f"{column} IS NOT NULL")
        op.drop_index(name, table_name=table)
        op.create_index(name, table, [column], unique=unique, sqlite_where=given, postgresql_where=given)
