"""The store: keys, tables, backups, and what a thief would find."""
