"""The newest post is found without looking at all of them: every comment's feed says when it was."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Apply."""
    op.create_index(op.f("ix_threads_published_at"), "threads", ["published_at"])
