"""The database: transactions, migrations, set-up."""
