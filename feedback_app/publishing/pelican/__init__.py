"""Pelican as this package runs it: runner, generators, readers, writer, and the hooks of our plugin.

Everything that leans on Pelican's inner workings is here.
"""
