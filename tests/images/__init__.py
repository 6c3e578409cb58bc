"""Pictures: cleaned, resized, converted."""
