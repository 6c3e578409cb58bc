"""Whose letters are in flight is asked of these alone, not of every letter that ever left."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Apply."""
    name = op.f("ix_deliveries_worker_id")
    given = sa.text("worker_id IS NOT NULL")
    op.drop_index(name, table_name="deliveries")
    op.create_index(name, "deliveries", ["worker_id"], sqlite_where=given, postgresql_where=given)
