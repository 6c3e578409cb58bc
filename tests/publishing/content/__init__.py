"""The shop's content files: checks, leaks, masked names, new posts."""
