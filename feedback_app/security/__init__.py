"""Keys, encryption at rest, and the tokens of links. Nothing here knows the database or the web."""
