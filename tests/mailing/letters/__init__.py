"""What letters say, and their bytes."""
