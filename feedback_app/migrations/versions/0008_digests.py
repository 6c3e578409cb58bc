"""Digests: what is put off, and the mailings that bring it."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "mailings",
        sa.Column(
            "digest",
            sa.Enum("never", "each", "weekly", "monthly", name="frequency", native_enum=False, length=20),
            nullable=True,
        ),
    )
    op.create_table(
        "digest_items",
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("put_off_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_digest_items_delivery_id_deliveries"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["digest_id"], ["mailings.id"], name=op.f("fk_digest_items_digest_id_mailings")),
        sa.PrimaryKeyConstraint("delivery_id", name=op.f("pk_digest_items")),
    )
    op.create_index(op.f("ix_digest_items_digest_id"), "digest_items", ["digest_id"])
