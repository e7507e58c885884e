"""The raw store: raw messages by SHA-256, durable before the rows that refer to them commit.

Start with `raw_store.save_batch` and `raw_store.open_raw`. Each batch is one segment file with one fsync, written once
by one host and never changed, so that hosts can share a folder without locks.

- `durable_files`: segments in a folder; `object_store`: on S3 instead; `two_stores`, `moving`: from one to the other;
- `local_copies`: this host's copies of messages, if the store is a shared folder or S3;
- `partial_files`: large messages while they are fetched;
- `sweeping`: removal of messages to which no row refers; `rewriting`: of their bytes in files that hold others, too.
"""
