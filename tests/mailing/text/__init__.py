"""A letter's text."""
