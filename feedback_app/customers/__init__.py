"""Customers: who they are, what they chose, and the proof of it."""
