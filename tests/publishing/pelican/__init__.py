"""Pelican as we run it: what comes out, and what happens when its input is bad."""
