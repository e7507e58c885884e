"""The statements that every mail costs, by hand: through the ORM they are most of a worker's time.

One text serves SQLite and PostgreSQL. Datetimes go in as the database's backend wants them and come out as datetimes.
Every UPDATE is conditional, and its row count is the answer.
"""

# ruff: noqa: S608 - statements are put together from the constants below, never from anybody's input.

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, models

# With the values written out, both databases see that the partial index `outbox_waiting` answers.
DUE = """"status" IN ('pending', 'failed') AND "hold" = '' AND "next_attempt_at" <= %s"""
OURS = """"id" = %s AND "status" = 'sending' AND "claim_token" = %s"""
# A mail that was to wait is as old as its time to be sent: else a first failure would give it up.
NEEDED = """"id", "account_id", "retries", COALESCE("send_at", "created_at"), "requested_by_id", "failure_mode",
"mail_from", "mime_digest", "needs_smtputf8\""""

NEXT = f"""(SELECT "id" FROM "outbox" WHERE "account_id" = %s AND {DUE} ORDER BY "next_attempt_at", "id" LIMIT 1)"""
# What another worker claims at this instant is passed over, not waited for.
NEXT_UNLOCKED = NEXT.replace("LIMIT 1", "LIMIT 1 FOR UPDATE SKIP LOCKED")
# On the right side of SET, "status" is the value before this UPDATE, on both databases.
CLAIM = f"""UPDATE "outbox" SET "status" = 'sending', "former_status" = "status", "claim_token" = %s, "claimed_by" = %s,
"lease_expires_at" = %s, "data_at" = NULL, "updated_at" = %s WHERE "id" = {{which}} AND {DUE} RETURNING {NEEDED}"""
DATA = f"""UPDATE "outbox" SET "data_at" = %s, "lease_expires_at" = %s, "updated_at" = %s WHERE {OURS}
AND "data_at" IS NULL"""
DATA_OF_ATTEMPT = """UPDATE "delivery_attempts" SET "phase" = 'data', "data_at" = %s, "transcript" = %s
WHERE "id" = %s"""
FINALIZE = f"""UPDATE "outbox" SET "status" = %s, "hold" = %s, "retries" = %s, "next_attempt_at" = %s,
"error_code" = %s, "error" = %s, "updated_at" = %s, "sent_at" = %s, "provider_message_id" = %s,
"data_at" = CASE WHEN %s THEN "data_at" END, "claim_token" = '', "claimed_by" = '', "lease_expires_at" = NULL
WHERE {OURS}"""
FINISH_ATTEMPT = """UPDATE "delivery_attempts" SET "outcome" = %s, "phase" = %s, "reply_code" = %s, "reply" = %s,
"transcript" = %s, "finished_at" = %s WHERE "id" = %s"""
ACCEPTED = """UPDATE "outbox_recipients" SET "status" = 'accepted', "reply_code" = %s, "reply" = %s, "accepted_at" = %s
WHERE "outbox_id" = %s AND "address" IN ({places})"""
LACKING = """SELECT "address", "status", "reply_code", "reply" FROM "outbox_recipients" WHERE "outbox_id" = %s
AND "status" <> 'accepted' ORDER BY "id\""""


def instant(value: datetime | None) -> Any:
    """A datetime as the backend stores it."""
    return None if value is None else connection.ops.adapt_datetimefield_value(value)


def as_datetime(value: Any) -> datetime:
    """What a raw query answers for a datetime: of SQLite a text or a datetime without a zone, in UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def changed(sql: str, values: Iterable[Any]) -> int:
    """Run an UPDATE; the number of rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, tuple(values))
        return int(cursor.rowcount)


def rows(sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, tuple(values))
        return list(cursor.fetchall())


def claim(which: int | None, account_id: int | None, token: str, worker: str, lease: datetime, now: datetime) -> Any:
    """Claim row `which`, or of the account the row that has been due for longest; its NEEDED columns, or None."""
    values: list[Any] = [token, worker, instant(lease), instant(now)]
    if which is not None:
        sql, values = CLAIM.format(which="%s"), [*values, which]
    else:
        unlocked = connection.features.has_select_for_update_skip_locked
        sql, values = CLAIM.format(which=NEXT_UNLOCKED if unlocked else NEXT), [*values, account_id, instant(now)]
    found = rows(sql, [*values, instant(now)])
    return found[0] if found else None


@cache
def _insert_of(model: type[models.Model]) -> tuple[str, list[models.Field[Any, Any]]]:
    """An INSERT of all columns, so that one with a default that is added later needs no change here."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join("%s" for _ in fields)
    return f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES ({places}) RETURNING "id"', fields


def insert(model: type[models.Model], **given: Any) -> int:
    """Insert one row, the columns that are not given with their defaults; its primary key."""
    sql, fields = _insert_of(model)
    values = [
        field.get_db_prep_save(given[field.attname] if field.attname in given else field.get_default(), connection)
        for field in fields
    ]
    return int(rows(sql, values)[0][0])
