"""The database: models' base, engine, sessions and transactions, bulk statements, write lock, and store set-up.

No table of the shop is defined here except the store's own facts, and no rule of the shop.
"""
