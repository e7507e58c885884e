"""What a person does to rows of the outbox: retry, cancel, mark as sent, alone and in bulk.

Way in: `transitions` (one row), `bulk` (all that match `filters`), `rescheduling` (another time).
"""
