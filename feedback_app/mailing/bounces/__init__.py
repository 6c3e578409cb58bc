"""Bounces: reads delivery reports and complaints, and records what they change.

Also resolves letters in doubt, with the mail server's log or by what the owner knows.
"""
