"""The desk: the owner's web pages behind the sign-in (comments, posts, customers' figures, account, log).

A face: it calls the services that the commands call, and decides nothing by itself.
"""
