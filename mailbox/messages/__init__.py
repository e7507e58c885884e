"""Rows of what was read: one message for each mail of an account, one place for each folder and UID.

Way in: `store.decide` and, in a transaction, `store.write`; `reparse` reads stored mail again; `purge` removes
expunged mail after the grace period.
"""
