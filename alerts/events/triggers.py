"""Database triggers that write an event in the transaction of the change that it reports.

A mail's state is changed by raw SQL, in bulk, by views and in Django's admin; only the database sees all of these. A
trigger refers only to its own table and `events`: SQLite refuses to rename a table while a trigger refers to a table
that does not exist.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

PREFIX = "event_"
TEXT, BOOLEAN = "text", "boolean"


@dataclass(frozen=True)
class EventTrigger:
    """One trigger. `moment`: the SQL after AFTER. `kind`, `when` and the values of `keys` are SQL expressions.
    `detail`: column -> type, the columns that the event's detail has."""

    name: str
    table: str
    moment: str
    kind: str
    keys: Mapping[str, str]
    when: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


_MESSAGE = {"account_id": "NEW.account_id", "message_pk": "NEW.id"}
_MARKS = {"seen": BOOLEAN, "flagged": BOOLEAN, "answered": BOOLEAN}
_REPORT = {"address": TEXT, "status_code": TEXT, "is_proven": BOOLEAN}
_SENT = {"provider_message_id": TEXT, "idempotency_key": TEXT, "hold": TEXT, "error_code": TEXT}
TRIGGERS = (
    EventTrigger("message_new", "messages", "INSERT", "'message.new'", _MESSAGE, detail={"message_id": TEXT}),
    EventTrigger(
        "message_again",
        "messages",
        "UPDATE OF gone_at",
        "'message.new'",
        _MESSAGE,
        when="OLD.gone_at IS NOT NULL AND NEW.gone_at IS NULL",
        detail={"message_id": TEXT},
    ),
    EventTrigger(
        "message_gone",
        "messages",
        "UPDATE OF gone_at",
        "'message.gone'",
        _MESSAGE,
        when="OLD.gone_at IS NULL AND NEW.gone_at IS NOT NULL",
        detail={"message_id": TEXT},
    ),
    EventTrigger(
        "message_flags",
        "messages",
        "UPDATE OF seen, flagged, answered",
        "'message.flags'",
        _MESSAGE,
        when="OLD.seen <> NEW.seen OR OLD.flagged <> NEW.flagged OR OLD.answered <> NEW.answered",
        detail={"message_id": TEXT, **_MARKS},
    ),
    EventTrigger(
        "outbox_ended",
        "outbox",
        "UPDATE OF status, hold",
        "CASE WHEN NEW.status = 'sent' THEN 'outbox.sent' WHEN NEW.hold = 'uncertain' THEN 'outbox.uncertain' "
        "ELSE 'outbox.failed' END",
        {"account_id": "NEW.account_id", "outbox_pk": "NEW.id"},
        # A failed row without a hold will be retried, so it has not ended.
        when="(NEW.status = 'sent' OR NEW.status = 'failed' AND NEW.hold <> '') "
        "AND (OLD.status <> NEW.status OR OLD.hold <> NEW.hold)",
        detail=_SENT,
    ),
    EventTrigger(
        "report",
        "delivery_reports",
        "INSERT",
        "CASE WHEN NEW.action = 'failed' THEN 'outbox.bounced' ELSE 'outbox.complaint' END",
        {"outbox_pk": "NEW.outbox_id"},
        when="NEW.action IN ('failed', 'complaint')",
        detail=_REPORT,
    ),
    EventTrigger(
        "sign_in",
        "transports",
        "UPDATE OF needs_sign_in_since",
        "CASE WHEN NEW.needs_sign_in_since IS NULL THEN 'account.back' ELSE 'account.needs_sign_in' END",
        {"transport_pk": "NEW.id"},
        when="(OLD.needs_sign_in_since IS NULL) <> (NEW.needs_sign_in_since IS NULL)",
        detail={"kind": TEXT},
    ),
    EventTrigger(
        "folder_reset",
        "sync_state",
        "UPDATE OF renumbered_count",
        "'folder.reset'",
        {"account_id": "NEW.account_id", "folder_pk": "NEW.folder_id"},
        when="NEW.renumbered_count > OLD.renumbered_count",
    ),
    EventTrigger(
        "behind",
        "alert_incidents",
        "UPDATE OF alerted_at",
        "'sync.behind'",
        {"account_id": "NEW.account_id"},
        when="NEW.kind = 'behind' AND OLD.alerted_at IS NULL AND NEW.alerted_at IS NOT NULL",
        detail={"sentence": TEXT},
    ),
)


def install(using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """Create missing triggers and drop those of other versions.

    Runs after each migrate: Django changes a SQLite table by making a new one, which drops the table's triggers.
    """
    db = connections[using]
    there = set(db.introspection.table_names())
    if not {"events", *(each.table for each in TRIGGERS)} <= there:
        return  # after `migrate APP` for one app, other tables may be missing
    wanted = {_name(each): each for each in TRIGGERS}
    present = _present(db)
    for name in present.keys() - wanted.keys():
        _drop(db, name, present[name])
    for name in wanted.keys() - present.keys():
        _create(db, name, wanted[name])


def remove(using: str = DEFAULT_DB_ALIAS, plan: Any = (), **_: Any) -> None:
    """Drop the triggers before a migrate of SQLite, which cannot rename `events` while a trigger refers to it."""
    db = connections[using]
    if plan and db.vendor == "sqlite":
        for name, table in _present(db).items():
            _drop(db, name, table)


def missing(using: str = DEFAULT_DB_ALIAS) -> set[str]:
    """The names of triggers that do not exist, so that their events are not written."""
    return {_name(each) for each in TRIGGERS} - _present(connections[using]).keys()


def _name(trigger: EventTrigger) -> str:
    """The trigger's name in the database, with a digest, so that another version has another name."""
    return f"{PREFIX}{trigger.name}_{hashlib.sha256(repr(trigger).encode()).hexdigest()[:8]}"


def _present(db: BaseDatabaseWrapper) -> dict[str, str]:
    """The event triggers in the database: name -> table."""
    sql = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    if db.vendor == "postgresql":
        sql = (
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)"
        )
    with db.cursor() as cursor:
        cursor.execute(sql)
        return {name: table for name, table in cursor.fetchall() if name.startswith(PREFIX)}


def _drop(db: BaseDatabaseWrapper, name: str, table: str) -> None:
    with db.cursor() as cursor:
        if db.vendor == "postgresql":
            cursor.execute(f'DROP TRIGGER "{name}" ON "{table}"; DROP FUNCTION "{name}"()')
        else:
            cursor.execute(f'DROP TRIGGER "{name}"')


def _create(db: BaseDatabaseWrapper, name: str, each: EventTrigger) -> None:
    """Create the trigger. The SQL is made of the constants above only."""
    is_postgres = db.vendor == "postgresql"
    now = "clock_timestamp()" if is_postgres else "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    columns = ", ".join(each.keys)
    values = ", ".join(each.keys.values())
    insert = (
        f"INSERT INTO events (kind, detail, created_at, {columns}) "  # noqa: S608
        f"VALUES ({each.kind}, {_detail(each.detail, is_postgres=is_postgres)}, {now}, {values});"
    )
    when = f"WHEN ({each.when}) " if each.when else ""
    moment = f'CREATE TRIGGER "{name}" AFTER {each.moment} ON "{each.table}" FOR EACH ROW {when}'
    with db.cursor() as cursor:
        if is_postgres:
            body = f"BEGIN {insert} RETURN NULL; END"
            cursor.execute(f'CREATE OR REPLACE FUNCTION "{name}"() RETURNS trigger LANGUAGE plpgsql AS $${body}$$')
            cursor.execute(f'{moment} EXECUTE FUNCTION "{name}"()')
        else:
            cursor.execute(f"{moment} BEGIN {insert} END")


def _detail(columns: Mapping[str, str], *, is_postgres: bool) -> str:
    """The SQL of a JSON object with these columns of the new row."""

    def value(name: str, kind: str) -> str:
        if is_postgres or kind == TEXT:
            return f"NEW.{name}"
        return f"json(CASE WHEN NEW.{name} THEN 'true' ELSE 'false' END)"  # SQLite has no boolean type

    pairs = ", ".join(f"'{name}', {value(name, kind)}" for name, kind in columns.items())
    return f"{'jsonb_build_object' if is_postgres else 'json_object'}({pairs})"
