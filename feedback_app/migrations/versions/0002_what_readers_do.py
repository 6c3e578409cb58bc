"""What readers do: verdicts' reasons, edits, the owner's answers, and who wants to be told about answers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    op.add_column("comments", sa.Column("by_owner", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("comments", sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("comments", sa.Column("reasons", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("comments", sa.Column("form_hash", sa.LargeBinary(length=32), nullable=True))
    op.create_index(op.f("ix_comments_form_hash"), "comments", ["form_hash"], unique=True)
    op.create_index(op.f("ix_comments_created_at"), "comments", ["created_at"])
    op.add_column("threads", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "followings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("thread_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name=op.f("fk_followings_customer_id_customers"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name=op.f("fk_followings_thread_id_threads")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_followings")),
        sa.UniqueConstraint("thread_id", "customer_id", name=op.f("uq_followings_thread_id_customer_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_followings_customer_id"), "followings", ["customer_id"])
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("following_id", sa.Integer(), nullable=False),
        sa.Column("comment_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["following_id"], ["followings.id"], name=op.f("fk_notices_following_id_followings"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["comment_id"], ["comments.id"], name=op.f("fk_notices_comment_id_comments"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("following_id", "comment_id", name=op.f("uq_notices_following_id_comment_id")),
    )
    op.create_index(op.f("ix_notices_comment_id"), "notices", ["comment_id"])
    op.create_index(op.f("ix_notices_told_at"), "notices", ["told_at"])
    op.create_table(
        "confirmations_asked",
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_confirmations_asked")),
    )
