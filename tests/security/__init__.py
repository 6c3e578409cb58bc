"""Keys, encryption, signed links."""
