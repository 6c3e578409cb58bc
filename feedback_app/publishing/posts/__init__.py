"""Posts as lists know them: light objects, their order, their neighbours, related posts and links, and fingerprints.

The types are Pelican's (articles, labels, authors); nothing here runs Pelican or reads a file.
"""
