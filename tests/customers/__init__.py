"""Customers: addresses, choices, imports."""
