"""The same words said again are found by their hash."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Apply."""
    op.add_column("comments", sa.Column("repeat_hash", sa.LargeBinary(length=16), nullable=True))
    op.create_index(op.f("ix_comments_repeat_hash_created_at"), "comments", ["repeat_hash", "created_at"])
