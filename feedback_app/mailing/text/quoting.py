"""Quotes a person's words in a letter to another person: without addresses, and not too long."""

import re

# An @ in any spelling: a letter shows no address but its recipient's and the shop's, not even half of one.
_AT = re.compile(r"@|\uff20|\ufe6b|%40|&#(?:0*64|x0*40);?|&commat;?", re.IGNORECASE)
LONGEST_QUOTE = 600


def without_addresses(text: str) -> str:
    """Return a text in which no address, nor half of one, can be read."""
    return _AT.sub("(at)", text)


def excerpt(text: str) -> str:
    """Return a text without addresses, cut to LONGEST_QUOTE characters."""
    words = without_addresses(text)
    return words if len(words) <= LONGEST_QUOTE else f"{words[:LONGEST_QUOTE].rstrip()} …"
