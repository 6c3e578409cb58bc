"""Coming and going: comments and posts of other systems, and an export that other systems can read."""
