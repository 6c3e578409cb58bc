"""A comment's text as safe HTML: a small subset of Markdown, then a sanitizer. Nothing else makes a comment's HTML."""
