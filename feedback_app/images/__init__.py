"""Pictures: cleaned of metadata, resized and converted. Knows nothing of posts, pages or letters."""
