"""Customers: their addresses, what they chose, and the record that proves it.

The single rule of who may be written to is `consent`. Nothing here sends mail; letters are put into `letter_queue`.
"""
