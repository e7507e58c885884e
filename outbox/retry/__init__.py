"""Decides whether and when a failed mail is tried again: pure functions over faults and reply codes.

Way in: `classification.classify` (what a fault means), `policy` (what becomes of the row, and when). `faults` holds the
words both are in, `throttling` how servers say that we send too fast or too much.
"""
