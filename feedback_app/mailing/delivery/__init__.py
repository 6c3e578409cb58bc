"""Delivery: the worker, the batches it claims, the ledger it writes before and after sending, and its send rates."""
