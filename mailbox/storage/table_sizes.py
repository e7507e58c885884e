"""Records each table's size once a day, so that the system page can show its growth."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.db import connection

from mailbox.models import TableSize

WHOLE_FILE = "(the whole file)"  # name under which SQLite's database file is recorded
# SQLite measures tables by reading every page (dbstat). For a larger database only the file's size is recorded.
SQLITE_READ_BYTES = 4 * 1024**3
KEPT = timedelta(days=400)


def measure(now: datetime) -> None:
    """Record today's sizes: on PostgreSQL at each call, on SQLite once a day. Slow; only for workers."""
    if connection.vendor == "sqlite":
        if not TableSize.objects.filter(day=now.date()).exists():
            _store(_of_sqlite(), now)
    else:
        _store(_of_postgres(), now)


def forget_old(now: datetime) -> None:
    """Delete sizes that were recorded longer than KEPT ago."""
    TableSize.objects.filter(day__lt=(now - KEPT).date()).delete()


def _store(sizes: list[tuple[str, int, int | None]], now: datetime) -> None:
    rows = [
        TableSize(table=table[:100], day=now.date(), size=size, rows=rows, measured_at=now)
        for table, size, rows in sizes
    ]
    TableSize.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["table", "day"],
        update_fields=["size", "rows", "measured_at"],
    )


def _of_postgres() -> list[tuple[str, int, int | None]]:
    """Table, bytes with indexes and TOAST, estimated rows. PostgreSQL states -1 rows for a table never analyzed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid), reltuples::bigint FROM pg_class "
            "WHERE relkind = 'r' AND pg_table_is_visible(oid) AND relnamespace = current_schema()::regnamespace"
        )
        return [(name, int(size), rows if rows >= 0 else None) for name, size, rows in cursor.fetchall()]


def _of_sqlite() -> list[tuple[str, int, int | None]]:
    """Table, bytes with indexes, None: SQLite has no estimate of rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        whole = int(cursor.fetchone()[0])
        found: list[tuple[str, int, int | None]] = [(WHOLE_FILE, whole + _log_bytes(), None)]
        cursor.execute("SELECT sqlite_compileoption_used('ENABLE_DBSTAT_VTAB')")
        if not cursor.fetchone()[0] or whole > SQLITE_READ_BYTES:
            return found
        cursor.execute(
            "SELECT master.tbl_name, SUM(stat.pgsize) FROM dbstat AS stat JOIN sqlite_master AS master "
            "ON master.name = stat.name WHERE stat.aggregate = TRUE GROUP BY master.tbl_name"
        )
        return found + [(name, int(size), None) for name, size in cursor.fetchall()]


def _log_bytes() -> int:
    """Size of the write-ahead log beside the database file."""
    log = Path(f"{connection.settings_dict['NAME']}-wal")
    return log.stat().st_size if log.exists() else 0
