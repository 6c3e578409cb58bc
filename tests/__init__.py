"""Tests: about people, in sentences."""
