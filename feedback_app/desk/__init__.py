"""The desk: the owner's web pages behind the sign-in (comments, posts, customers' figures, account, audit log).

Its pages call the same services as the commands and hold no rules of their own.
"""
