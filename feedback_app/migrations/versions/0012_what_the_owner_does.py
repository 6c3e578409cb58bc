"""What the owner does can be undone: what each line is about; closed posts; who was told of what waits."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Apply."""
    op.add_column("comments", sa.Column("edited_by_owner", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("comments", sa.Column("owner_told_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("threads", sa.Column("closing", sa.String(length=20), nullable=False, server_default="by age"))
    op.add_column("audit_lines", sa.Column("comment_id", sa.Integer(), nullable=True))
    op.add_column("audit_lines", sa.Column("thread_id", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_audit_lines_comment_id"), "audit_lines", ["comment_id"])
