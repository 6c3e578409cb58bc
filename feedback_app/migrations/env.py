"""Alembic's entry: one connection, handed over by the store."""

from alembic import context

import feedback_app.migrations.tables  # noqa: F401 - every table has to be known
from feedback_app.db.base import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    user_module_prefix="feedback_app.db.store.",
)
with context.begin_transaction():
    context.run_migrations()
