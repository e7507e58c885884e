"""The figures of sending: the suite (outbox, outbox_more), its peers, its table, and what runs inside of a worker."""
