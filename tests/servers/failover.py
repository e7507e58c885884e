"""PostgreSQL as its clients see it in a failover: their sessions end, and a replica answers, which takes no writes."""

from __future__ import annotations

from django.db import connection
from psycopg import connect, sql


def fail_over(*, to_a_replica: bool) -> None:
    """End all sessions of the test database; new ones are read-only, as on a replica that was not promoted yet."""
    given = connection.settings_dict
    address = {"host": given["HOST"], "port": given["PORT"], "user": given["USER"], "dbname": "postgres"}
    name = sql.Identifier(given["NAME"])
    with connect(**address, autocommit=True) as administrator:
        value = sql.SQL("on" if to_a_replica else "off")
        change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        administrator.execute(change.format(name, value))
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        administrator.execute(end, [given["NAME"]])
