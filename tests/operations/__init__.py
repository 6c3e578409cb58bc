"""Backup, restore, key rotation, doctor."""
