"""Backup, restore and the proof that a restore works.

Way in: `making.make`, `restoring.restore`, `proving.prove`. A store of backups, a folder or the objects below a prefix
on S3, holds one copy of each segment file for all its backups, and for each backup the database and the manifest:

    raw/2026/11/29/…-….seg          copied once: a segment file never changes
    files/SHA-256                   what else the data folder holds, by its digest
    20261129T031200Z/database       SQLite file, or pg_dump's custom format
    20261129T031200Z/manifest.json  written last: without it there is no backup

Of a backup that is encrypted (`sealing`) the manifest is an age file beside its manifest.json, which keeps what the
next one asks: names, sizes and digests of the encrypted files. Those lie below a folder for their recipients, to-…/.

The database is taken first, in one snapshot with the counts and the list of segments; raw messages are durable before
the rows that refer to them, so a later copy of the segments lacks nothing. Keys are no part of it.
"""
