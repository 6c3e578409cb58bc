"""Importing customers from a CSV file. `csv_rows` reads and checks the file, `services` writes to the store."""
