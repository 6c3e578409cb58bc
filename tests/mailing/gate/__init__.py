"""The check before the wire."""
