"""The history of the database's tables (Alembic), and the list of all tables."""
