"""Addresses that were typed on the site, until the mailer has looked whose they are."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Apply."""
    what_for = sa.Enum("preferences", "subscribing", name="typedfor", native_enum=False, length=20)
    op.create_table(
        "typed_addresses",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("what_for", what_for, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(length=32), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("wish", sa.String(length=200), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_typed_addresses")),
    )
    op.create_index(op.f("ix_typed_addresses_fingerprint"), "typed_addresses", ["fingerprint"])
