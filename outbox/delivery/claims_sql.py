"""Raw SQL for the statements that each mail needs: by the ORM they would take most of a worker's time.

The same text serves SQLite and PostgreSQL. Datetimes are converted to and from the backend's form. Every UPDATE is
conditional, and its row count is the result.
"""

# ruff: noqa: S608 - statements are put together from the constants below, never from anybody's input.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import models, transaction

from outbox.delivery.db_connection import own_connection

TRANSCRIPT_ROOM = 700  # bytes
# Literal values, so that both databases use the partial index `outbox_waiting`.
DUE = """"status" IN ('pending', 'failed') AND "hold" = '' AND "next_attempt_at" <= %s"""
OURS = """"id" = %s AND "status" = 'sending' AND "claim_token" = %s"""
# The age of a scheduled mail counts from its time to send: otherwise a first failure could give it up as too old.
NEEDED = """"id", "account_id", "retries", COALESCE("send_at", "created_at"), "requested_by_id", "failure_mode",
"mail_from", "mime_digest", "needs_smtputf8", "dsn_parameters", "claim_token", "next_attempt_at", "last_attempt",
"message_id", "private_part\""""

_NEXT = f"""(SELECT "id" FROM "outbox" WHERE "account_id" = %s AND {DUE} ORDER BY "next_attempt_at", "id" LIMIT %s)"""
# On the right side of SET, "status" is the value before the UPDATE, on both databases.
_CLAIM = f"""UPDATE "outbox" SET "status" = 'sending', "former_status" = "status", "claim_token" = %s || "id",
"claimed_by" = %s, "lease_expires_at" = %s, "data_at" = NULL, "last_attempt" = "last_attempt" + 1,
"updated_at" = %s WHERE "id" IN {{which}} AND {DUE}
RETURNING {NEEDED}"""
CLAIM_ONE = _CLAIM.format(which="(%s)")
CLAIM_NEXT = _CLAIM.format(which=_NEXT)
# PostgreSQL: skip rows that another worker is claiming (SKIP LOCKED). ARRAY makes it evaluate the sub-query only once.
CLAIM_NEXT_UNLOCKED = _CLAIM.replace("IN {which}", "= ANY(ARRAY{which})").format(
    which=_NEXT.replace("LIMIT %s", "LIMIT %s FOR UPDATE SKIP LOCKED")
)
DOT = f"""UPDATE "outbox" SET "data_at" = %s, "lease_expires_at" = %s, "updated_at" = %s WHERE {OURS}
AND "data_at" IS NULL"""
NO_DOT = f"""UPDATE "outbox" SET "data_at" = NULL, "lease_expires_at" = %s, "updated_at" = %s WHERE {OURS}"""
DOT_OF_ATTEMPT = """UPDATE "delivery_attempts" SET "phase" = 'dot', "data_at" = %s, "transcript" = %s
WHERE "id" = %s"""
FINALIZE = f"""UPDATE "outbox" SET "status" = %s, "hold" = %s, "retries" = %s, "next_attempt_at" = %s,
"error_code" = %s, "error" = %s, "updated_at" = %s, "sent_at" = %s, "provider_message_id" = %s,
"data_at" = CASE WHEN %s THEN "data_at" END, "claim_token" = '', "claimed_by" = '', "lease_expires_at" = NULL
WHERE {OURS}"""
FINISH_ATTEMPT = """UPDATE "delivery_attempts" SET "outcome" = %s, "phase" = %s, "reply_code" = %s, "reply" = %s,
"transcript" = %s, "finished_at" = %s WHERE "id" = %s"""
_ACCEPTED = """UPDATE "outbox_recipients" SET "status" = 'accepted', "reply_code" = %s, "reply" = %s, "accepted_at" = %s
WHERE "outbox_id" = %s AND "address" IN ({places})"""
# UPDATE first, as the hour's row usually exists: SQLite writes a page more for INSERT ... ON CONFLICT DO UPDATE.
COUNT_MORE = """UPDATE "counters" SET "value" = "value" + 1 WHERE "account_id" = %s AND "name" = %s AND "hour" = %s"""
COUNT = """INSERT INTO "counters" ("account_id", "name", "hour", "value") VALUES (%s, %s, %s, 1)
ON CONFLICT ("account_id", "name", "hour") DO UPDATE SET "value" = "counters"."value" + 1"""
LACKING = """SELECT "address", "status", "reply_code", "reply", "dsn_parameters" FROM "outbox_recipients"
WHERE "outbox_id" = %s AND "status" <> 'accepted' ORDER BY "id\""""


@cache
def _is_sqlite() -> bool:
    return own_connection().vendor == "sqlite"


def instant(value: datetime | None) -> Any:
    """A datetime in the form in which the backend stores it."""
    if value is not None and value.tzinfo is UTC and _is_sqlite():
        return str(value.replace(tzinfo=None))  # the same result as below, in a tenth of the time
    return None if value is None else own_connection().ops.adapt_datetimefield_value(value)


def as_datetime(value: Any) -> datetime:
    """A datetime of a raw query as an aware datetime: SQLite returns a text, or a naive datetime in UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def in_transaction() -> AbstractContextManager[object]:
    """A transaction; within one, that one."""
    return nullcontext() if own_connection().in_atomic_block else transaction.atomic()


def changed(sql: str, values: Iterable[Any]) -> int:
    """Run an UPDATE; return the number of changed rows."""
    return int(_run(sql, tuple(values), lambda cursor: cursor.rowcount))


def rows(sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Run a SELECT, or an UPDATE with RETURNING, and return its rows."""
    return list(_run(sql, tuple(values), lambda cursor: cursor.fetchall()))


def _run(sql: str, values: tuple[Any, ...], answer: Callable[[Any], Any]) -> Any:
    db = own_connection()
    is_watched = db.execute_wrappers or db.queries_logged
    if not _is_sqlite() or is_watched or db.connection is None:
        with db.cursor() as cursor:
            cursor.execute(sql, values)
            return answer(cursor)
    # Without Django's cursor, which takes three times as long as such a statement of SQLite.
    with db.wrap_database_errors:
        return answer(db.connection.execute(_with_qmarks(sql), values))


@cache
def _with_qmarks(sql: str) -> str:
    return sql.replace("%s", "?")


def claim_row(pk: int, token: str, worker: str, lease: datetime, now: datetime) -> list[tuple[Any, ...]]:
    """Claim one row; return its NEEDED columns, or nothing. Its claim token is `token` followed by its id."""
    at = instant(now)
    return rows(CLAIM_ONE, [token, worker, instant(lease), at, pk, at])


def claim_next(
    account_id: int, most: int, token: str, worker: str, lease: datetime, now: datetime
) -> list[tuple[Any, ...]]:
    """Claim the account's rows that have been due longest; return their NEEDED columns, in that order."""
    at = instant(now)
    skips = own_connection().features.has_select_for_update_skip_locked
    values = [token, worker, instant(lease), at, account_id, at, most, at]
    return sorted(rows(CLAIM_NEXT_UNLOCKED if skips else CLAIM_NEXT, values), key=lambda row: (row[11], row[0]))


@cache
def accepted(count: int) -> str:
    """The UPDATE that marks `count` recipients, given by address, as accepted."""
    return _ACCEPTED.format(places=", ".join(["%s"] * count))


@cache
def room_for_transcript() -> str:
    """An empty transcript; for SQLite padded to TRANSCRIPT_ROOM, since a row that grows later splits its page, which
    writes four pages."""
    return f"[{' ' * TRANSCRIPT_ROOM}]" if _is_sqlite() else "[]"


@cache
def _insert_of(
    model: type[models.Model], given: tuple[str, ...], count: int, vendor: str
) -> tuple[str, tuple[Any, ...]]:
    """(an INSERT of all columns, the values of those that are not `given`): so a column added later needs no change."""
    others = [field for field in model._meta.concrete_fields if not field.primary_key and field.attname not in given]
    columns = ", ".join(f'"{name}"' for name in (*given, *(field.column for field in others)))
    places = ", ".join(["%s"] * (len(given) + len(others)))
    values = ", ".join([f"({places})"] * count)
    db = own_connection()
    defaults = tuple(field.get_db_prep_save(field.get_default(), db) for field in others)
    return f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES {values} RETURNING "id", ', defaults


def insert(model: type[models.Model], found_by: str, new: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    """Insert rows; return value of the column `found_by` -> pk.

    Values are in the backend's form; columns that are not given get their defaults, which must be constant.
    """
    sql, defaults = _insert_of(model, tuple(new[0]), len(new), own_connection().vendor)
    values = [value for row in new for value in (*row.values(), *defaults)]
    return {value: int(pk) for pk, value in rows(f'{sql}"{found_by}"', values)}
