"""Comments that came from elsewhere are known again."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Apply."""
    op.add_column("comments", sa.Column("foreign_hash", sa.LargeBinary(length=32), nullable=True))
    op.create_index(op.f("ix_comments_foreign_hash"), "comments", ["foreign_hash"], unique=True)
