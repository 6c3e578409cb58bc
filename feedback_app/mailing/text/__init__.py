"""The text of letters: HTML as plain text, checks of links, quotes, inline styles. No addresses, no database."""
