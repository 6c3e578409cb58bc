"""What somebody wrote, as a letter to somebody else may quote it."""

import re

# An @ in any spelling: a letter shows no address but its reader's and the shop's, not even half of one.
_AT = re.compile(r"@|\uff20|\ufe6b|%40|&#(?:0*64|x0*40);?|&commat;?", re.IGNORECASE)
LONGEST_QUOTE = 600


def quoted(text: str) -> str:
    """The words without an address, or half of one."""
    return _AT.sub("(at)", text)


def shortened(text: str) -> str:
    """The words, quoted, as far as a letter goes."""
    words = quoted(text)
    return words if len(words) <= LONGEST_QUOTE else f"{words[:LONGEST_QUOTE].rstrip()} …"
