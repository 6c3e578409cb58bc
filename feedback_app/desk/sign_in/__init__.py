"""Signing in to the desk: Flask-Security set up for this app, with passwords, six digits, passkeys and recovery codes.

Only the question who is signed in. What they may then do is the desk's.
"""
