"""Running a shop: backup, restore, key rotation, and the doctor."""
