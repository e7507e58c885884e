"""Decides whether and when a failed mail is tried again: pure functions over faults and reply codes.

Way in: `policy.classify`, `policy.next_attempt`.
"""
