"""Undisclosed: comments, preferences and a mailer with one reader a letter."""
