"""Pelican as this package runs it: the runner, generators, readers, the writer, and the hooks of our plugin.

What is private or patched in Pelican and its libraries is in `compat`, and nowhere else.
"""
