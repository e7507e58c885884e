"""Writes fetched mail to the tables: one Message per mail of an account, one MessagePlace per folder and UID.

Start with `store.decide` and then, in a transaction, `store.write`. `reparse` parses stored mail again; `purge` removes
expunged mail after the grace period.
"""
