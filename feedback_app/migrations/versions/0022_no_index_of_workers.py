"""What is in flight is found by its mailing: an index of its own would be written twice for every letter."""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Apply."""
    op.drop_index(op.f("ix_deliveries_worker_id"), table_name="deliveries")
