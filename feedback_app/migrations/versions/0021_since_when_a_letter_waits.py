"""A letter is given up two days after it was first put off, however long ago its mailing began."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Apply."""
    op.add_column("deliveries", sa.Column("deferred_since", sa.DateTime(timezone=True), nullable=True))
