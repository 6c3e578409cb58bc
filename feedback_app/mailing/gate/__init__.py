"""The gate: the last check of a letter's final bytes before they leave.

It depends on nothing that makes what it checks. The fast path may only answer "as the template" or "look closely".
"""
