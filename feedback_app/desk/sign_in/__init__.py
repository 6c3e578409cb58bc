"""Signing in to the desk: Flask-Security with passwords, six-digit codes, passkeys and recovery codes.

It answers only who is signed in; what an owner may then do is decided by the desk.
"""
