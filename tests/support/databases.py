"""The names of the databases that tests run on."""

SQLITE, POSTGRESQL = "sqlite", "postgresql"


BACKENDS = (SQLITE, POSTGRESQL)
