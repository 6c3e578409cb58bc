"""Approved comments in the built site at once: a listener for changed threads, and the rewriting of pages."""
