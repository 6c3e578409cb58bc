"""Comments and the threads they make."""
