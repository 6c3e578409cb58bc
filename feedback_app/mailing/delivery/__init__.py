"""Delivery: the worker, the batches it claims, the ledger it writes before and after the wire, and its send rates.

The only room that may use prepared statements below SQLAlchemy's sessions.
"""
