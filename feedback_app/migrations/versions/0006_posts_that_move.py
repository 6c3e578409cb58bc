"""Posts that move keep their thread: every thread knows its post's file, and where the post was before."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply."""
    op.add_column("threads", sa.Column("source", sa.String(length=500), nullable=True))
    op.create_table(
        "former_paths",
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("thread_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name=op.f("fk_former_paths_thread_id_threads")),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_former_paths")),
    )
    op.create_index(op.f("ix_former_paths_thread_id"), "former_paths", ["thread_id"])
