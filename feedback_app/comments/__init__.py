"""Readers' comments: posting them, judging them, deciding about them, telling people about replies.

Knows customers, because a comment may belong to one; knows nothing of Pelican, mail servers or the output folder.
"""
