"""Actions of a person on outbox rows: retry, cancel, mark as sent and others, on one row or in bulk.

Way in: `transitions` (one row), `bulk` (all rows that match `filters`), `rescheduling` (another send time, undo),
`correcting` (addresses that a server refused).
"""
