"""Text of letters: HTML to plain text, checks of links, quotes, inlined styles. Knows no addresses and no database."""
