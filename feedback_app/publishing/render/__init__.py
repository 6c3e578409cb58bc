"""Pieces of pages that are not Pelican's: comment fragments, a post's HTML elsewhere, files for machines."""
