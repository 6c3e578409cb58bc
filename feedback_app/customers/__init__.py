"""Customers: their addresses, their choices, and the consent record that proves them.

`consent` has the one rule of who may be written to. Nothing here sends mail: letters are put into `letter_queue`.
"""
