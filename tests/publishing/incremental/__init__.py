"""The incremental build: the same bytes as a full one."""
