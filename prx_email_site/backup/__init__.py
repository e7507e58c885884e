"""Backup, restore and the proof that a restore works.

Way in: `making.make`, `restoring.restore`, `proving.prove`. A store of backups is a folder, or the objects below a
prefix on S3. It has one copy of each segment file for all its backups, and for each backup the database and a manifest:

    raw/2026/11/29/…-….seg          copied once, as a segment file never changes
    files/SHA-256                   other files of the data folder, by their digests
    20261129T031200Z/database       SQLite file, or pg_dump's custom format
    20261129T031200Z/manifest.json  written last: without it there is no backup

The files of an encrypted backup (`sealing`) are in a folder for its recipients, to-…/. Its manifest is an age file
(manifest.age); its manifest.json has only what the next backup needs: names, sizes and digests of the encrypted files.

The database is copied first, in one snapshot with the row counts and the list of segments. Raw messages are durable
before the rows that refer to them, so a later copy of the segments is complete. Encryption keys are not in a backup.
"""
