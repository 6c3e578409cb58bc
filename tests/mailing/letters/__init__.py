"""Tests of what letters say, and of their bytes."""
