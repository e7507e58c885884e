"""Keeps raw messages by SHA-256, durable before the rows that refer to them commit.

Way in: `raw_store.save_batch`, `raw_store.open_raw`. One segment file and one fsync for each batch, written once by one
host and never changed, so that hosts share a folder without a lock. `durable_files`: where segments lie;
`object_store`: on S3 instead; `two_stores` and `moving`: from one to the other. `local_copies`: what this host has of a
store that lies elsewhere. `partial_files` holds large messages while they come. `sweeping` removes what nothing refers
to.
"""
