"""The entry "default" of DATABASES (docs/operations.md): SQLite, or PostgreSQL by DATABASE_URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url

from prx_email_site import environment as env

SQLITE = "django.db.backends.sqlite3"
# Readers never wait for the writer (WAL). A writer waits up to 5 s for the lock and requests it at BEGIN (IMMEDIATE),
# as waiting is not possible later in a transaction. A commit survives a power failure (synchronous FULL; with NORMAL,
# WAL loses the last commits, which an outbox must not). A connection caches 16 MiB of pages (cache_size): as many as a
# batch of mail changes, or they would be written twice, before its commit and by it.
SQLITE_OPTIONS = {
    "timeout": 5,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384;",
}


def database(data_dir: Path, lock_seconds: int, answer_seconds: int, *, pooling: str) -> dict[str, Any]:
    """The settings of the database that DATABASE_URL names; by default SQLite in the data folder.

    pooling: "transaction" if each transaction may run in another session of PostgreSQL, so that nothing may be left in
    a session: no cursor that outlives a transaction, and no limits, which a pooler does not pass on.
    """
    found: dict[str, Any] = dict(
        dj_database_url.parse(env.text("DATABASE_URL") or f"sqlite:///{data_dir / 'prx-email.sqlite3'}")
    )
    if found["ENGINE"] == SQLITE:
        # A file rather than memory, as tests use it from several threads and processes, like production.
        test = {"NAME": env.text("PRX_EMAIL_TEST_DATABASE", str(data_dir / "test.sqlite3"))}
        return found | {"OPTIONS": dict(SQLITE_OPTIONS), "TEST": test}
    # libpq's options, so that a server in a network that drops packets causes an error within these seconds. Values in
    # DATABASE_URL have priority.
    options = {
        "connect_timeout": answer_seconds,
        "keepalives": 1,
        "keepalives_idle": answer_seconds,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * (answer_seconds + 6),  # milliseconds
        **found.get("OPTIONS", {}),
    }
    found |= {"OPTIONS": options, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    if pooling == "transaction":
        return found | {"DISABLE_SERVER_SIDE_CURSORS": True}
    if lock_seconds:
        # A process that is suspended within a transaction (SIGSTOP, a frozen machine) keeps its locks: others get an
        # error after lock_timeout instead of waiting for ever. It is set with the connection, so it costs no statement.
        options["options"] = f"-c lock_timeout={lock_seconds}s {options.get('options', '')}".strip()
    return found
