"""The thread of a post: whether it takes comments, where its post moved, and its HTML, counts and feed.

The renderer here is the only one: the full build and an approved comment use the same functions. No Flask, no Pelican.
"""
