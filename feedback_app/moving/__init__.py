"""Moving in and out: importing posts and comments of other systems, and exporting comments. No address comes over."""
