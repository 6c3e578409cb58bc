"""Files on disk: written whole, swapped whole."""
