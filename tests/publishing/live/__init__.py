"""Approved comments in the built site."""
