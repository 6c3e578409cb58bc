"""A mailing from its file to its end."""
