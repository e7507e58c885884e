"""Keeps raw messages by SHA-256, durable before the rows that refer to them commit.

Way in: `raw_store.save_batch`, `raw_store.open_raw`. One segment file and one fsync for each batch; `partial_files`
holds large messages while they come.
"""
