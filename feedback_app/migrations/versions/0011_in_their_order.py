"""What waits in the ledger is found in its order, without sorting all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Apply."""
    op.drop_index(op.f("ix_deliveries_mailing_id_state_next_try_at"), table_name="deliveries")
    op.create_index(op.f("ix_deliveries_mailing_id_state_id"), "deliveries", ["mailing_id", "state", "id"])
    deferred = sa.text("state = 'deferred'")
    op.create_index(
        op.f("ix_deliveries_mailing_id_next_try_at"),
        "deliveries",
        ["mailing_id", "next_try_at"],
        sqlite_where=deferred,
        postgresql_where=deferred,
    )
