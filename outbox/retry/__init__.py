"""Decides whether and when a failed mail is tried again: pure functions over faults and reply codes.

Way in: `classification.classify` (what a fault means), `policy` (the row's new state, and when it is tried again).
`faults` has the data types, `throttling` knows how servers say that we send too fast or too much.
"""
