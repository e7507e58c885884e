"""The statements that every mail costs, by hand: through the ORM they are most of a worker's time.

One text serves SQLite and PostgreSQL. Datetimes go in as the database's backend wants them and come out as datetimes.
Every UPDATE is conditional, and its row count is the answer.
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
# With the values written out, both databases see that the partial index `outbox_waiting` answers.
DUE = """"status" IN ('pending', 'failed') AND "hold" = '' AND "next_attempt_at" <= %s"""
OURS = """"id" = %s AND "status" = 'sending' AND "claim_token" = %s"""
# A mail that was to wait is as old as its time to be sent: else a first failure would give it up.
NEEDED = """"id", "account_id", "retries", COALESCE("send_at", "created_at"), "requested_by_id", "failure_mode",
"mail_from", "mime_digest", "needs_smtputf8", "dsn_parameters", "claim_token", "next_attempt_at", "last_attempt",
"message_id", "private_part\""""

_NEXT = f"""(SELECT "id" FROM "outbox" WHERE "account_id" = %s AND {DUE} ORDER BY "next_attempt_at", "id" LIMIT %s)"""
# On the right side of SET, "status" is the value before this UPDATE, on both databases.
_CLAIM = f"""UPDATE "outbox" SET "status" = 'sending', "former_status" = "status", "claim_token" = %s || "id",
"claimed_by" = %s, "lease_expires_at" = %s, "data_at" = NULL, "last_attempt" = "last_attempt" + 1,
"updated_at" = %s WHERE "id" IN {{which}} AND {DUE}
RETURNING {NEEDED}"""
CLAIM_ONE = _CLAIM.format(which="(%s)")
CLAIM_NEXT = _CLAIM.format(which=_NEXT)
# PostgreSQL: what another worker claims at this instant is passed over, not waited for; and as an array, or it may look
# for the rows more than once.
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
# Most hours are there already, and an INSERT writes a page of SQLite's own even where it comes to an UPDATE.
COUNT_MORE = """UPDATE "counters" SET "value" = "value" + 1 WHERE "account_id" = %s AND "name" = %s AND "hour" = %s"""
COUNT = """INSERT INTO "counters" ("account_id", "name", "hour", "value") VALUES (%s, %s, %s, 1)
ON CONFLICT ("account_id", "name", "hour") DO UPDATE SET "value" = "counters"."value" + 1"""
LACKING = """SELECT "address", "status", "reply_code", "reply", "dsn_parameters" FROM "outbox_recipients"
WHERE "outbox_id" = %s AND "status" <> 'accepted' ORDER BY "id\""""


@cache
def _is_sqlite() -> bool:
    return own_connection().vendor == "sqlite"


def instant(value: datetime | None) -> Any:
    """A datetime as the backend stores it."""
    if value is not None and value.tzinfo is UTC and _is_sqlite():
        return str(value.replace(tzinfo=None))  # the same as below, in a tenth of the time
    return None if value is None else own_connection().ops.adapt_datetimefield_value(value)


def as_datetime(value: Any) -> datetime:
    """What a raw query answers for a datetime: of SQLite a text or a datetime without a zone, in UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def in_transaction() -> AbstractContextManager[object]:
    """A transaction, or the one that is open."""
    return nullcontext() if own_connection().in_atomic_block else transaction.atomic()


def changed(sql: str, values: Iterable[Any]) -> int:
    """Run an UPDATE; the number of rows it changed."""
    return int(_run(sql, tuple(values), lambda cursor: cursor.rowcount))


def rows(sql: str, values: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(_run(sql, tuple(values), lambda cursor: cursor.fetchall()))


def _run(sql: str, values: tuple[Any, ...], answer: Callable[[Any], Any]) -> Any:
    db = own_connection()
    is_watched = db.execute_wrappers or db.queries_logged
    if not _is_sqlite() or is_watched or db.connection is None:
        with db.cursor() as cursor:
            cursor.execute(sql, values)
            return answer(cursor)
    # Django's cursor costs three times what SQLite takes for such a statement.
    with db.wrap_database_errors:
        return answer(db.connection.execute(_with_qmarks(sql), values))


@cache
def _with_qmarks(sql: str) -> str:
    return sql.replace("%s", "?")


def claim_row(pk: int, token: str, worker: str, lease: datetime, now: datetime) -> list[tuple[Any, ...]]:
    """Claim one row; its NEEDED columns, or nothing. Its token is `token` and its id."""
    at = instant(now)
    return rows(CLAIM_ONE, [token, worker, instant(lease), at, pk, at])


def claim_next(
    account_id: int, most: int, token: str, worker: str, lease: datetime, now: datetime
) -> list[tuple[Any, ...]]:
    """Claim of the account the rows that have been due for longest; their NEEDED columns, in that order."""
    at = instant(now)
    skips = own_connection().features.has_select_for_update_skip_locked
    values = [token, worker, instant(lease), at, account_id, at, most, at]
    return sorted(rows(CLAIM_NEXT_UNLOCKED if skips else CLAIM_NEXT, values), key=lambda row: (row[11], row[0]))


@cache
def accepted(count: int) -> str:
    """The UPDATE of so many recipients, by address."""
    return _ACCEPTED.format(places=", ".join(["%s"] * count))


@cache
def room_for_transcript() -> str:
    """An empty transcript. On SQLite with room for one, or the rows that are written together would soon need more
    pages than they got, and each page that is divided costs four."""
    return f"[{' ' * TRANSCRIPT_ROOM}]" if _is_sqlite() else "[]"


@cache
def _insert_of(
    model: type[models.Model], given: tuple[str, ...], count: int, vendor: str
) -> tuple[str, tuple[Any, ...]]:
    """An INSERT of all columns, so that one with a default that is added later needs no change here; and the values
    of those that are not given."""
    others = [field for field in model._meta.concrete_fields if not field.primary_key and field.attname not in given]
    columns = ", ".join(f'"{name}"' for name in (*given, *(field.column for field in others)))
    places = ", ".join(["%s"] * (len(given) + len(others)))
    values = ", ".join([f"({places})"] * count)
    db = own_connection()
    defaults = tuple(field.get_db_prep_save(field.get_default(), db) for field in others)
    return f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES {values} RETURNING "id", ', defaults


def insert(model: type[models.Model], found_by: str, new: Sequence[Mapping[str, Any]]) -> dict[Any, int]:
    """Insert rows, the values as the backend wants them, the columns that are not given with constant defaults; their
    primary keys by the value of the column `found_by`."""
    sql, defaults = _insert_of(model, tuple(new[0]), len(new), own_connection().vendor)
    values = [value for row in new for value in (*row.values(), *defaults)]
    return {value: int(pk) for pk, value in rows(f'{sql}"{found_by}"', values)}
