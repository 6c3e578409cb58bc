"""Coming from elsewhere, and going there."""
