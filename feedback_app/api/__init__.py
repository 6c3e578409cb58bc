"""The HTTP interface for the shop's other programs: may this customer be written to, and who may be.

Asked with a key that has scopes. Nothing here decides who may be written to: `customers.consent` does.
"""
