"""Tests of malicious and broken requests."""
