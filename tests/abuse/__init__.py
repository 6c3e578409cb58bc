"""People who want no good."""
