"""The HTTP API for the shop's other programs: may this customer be written to, and who may be.

A program needs a key with a scope. Nothing here decides who may be written to: `customers.consent` does.
"""
