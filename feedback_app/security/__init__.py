"""Secrets: encryption of addresses, the keys, and signed links. Knows no table and no page."""
