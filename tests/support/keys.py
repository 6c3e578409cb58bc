"""The keys of the tests' shops."""

ADDRESS_KEY = "an address key that only tests use"


SECRET_KEY = "a signing key that only tests use!"


# In the settings, not in the instance: a build elsewhere makes the same private links.
KEYS = {"UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY, "UNDISCLOSED_SECRET_KEY": SECRET_KEY}
