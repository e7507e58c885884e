"""Functions that SQLite and PostgreSQL need and the ORM does not offer: raw statements, bulk inserts, kinds of errors,
time-outs of locks, turns of those who write to SQLite.

Way in: `statements`, `bulk_insert`, `lock_timeout`, `errors.DATABASE_TROUBLE`.
"""
