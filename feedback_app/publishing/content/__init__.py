"""The shop's content files: front matter, checks, leaked addresses, new posts, announcements. No Pelican."""
