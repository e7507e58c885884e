"""Functions that SQLite and PostgreSQL need and the ORM does not offer: bulk inserts, lock time-outs, kinds of errors.

Way in: `bulk_insert`, `lock_timeout`, `errors.DATABASE_TROUBLE`.
"""
