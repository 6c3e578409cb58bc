"""The care of the store: backup, restore, rotation of its keys, and what the doctor says."""
