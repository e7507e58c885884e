"""Loads account, transport and sync states by raw SQL: ten times faster here than the ORM.

The results are ordinary model instances.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from django.db import connection, models

from mailbox.models import Account, Folder, SyncState, Transport

M = TypeVar("M", bound=models.Model)
FRESH_SECONDS = 2.0  # then the row is read again: push and people write some columns without holding the lease


@dataclass
class LoadedState:
    """A folder's state, with its folder. `has_asked`: single messages were asked for (see requested)."""

    state: SyncState
    has_asked: bool
    read_at: float = field(default_factory=time.monotonic)

    def is_fresh(self) -> bool:
        """Whether it was read so lately that other writers' columns (news_at, requests) need not be read again."""
        return time.monotonic() - self.read_at < FRESH_SECONDS


@dataclass(frozen=True)
class _Reader:
    """Makes instances of one model from rows, with the converters that the ORM would apply.

    columns: for the SELECT. names: of the attributes, in the same order.
    """

    columns: str
    names: tuple[str, ...]
    converters: tuple[tuple[int, Any, tuple[Callable[..., Any], ...]], ...]

    def read(self, model: type[M], row: Sequence[Any]) -> M:
        values = list(row)
        for place, column, converters in self.converters:
            if values[place] is not None:
                for convert in converters:
                    values[place] = convert(values[place], column, connection)
        return model.from_db(connection.alias, self.names, values)


@cache
def _reader(model: type[models.Model], vendor: str) -> _Reader:
    table, fields = model._meta.db_table, model._meta.concrete_fields
    converters = []
    for place, each in enumerate(fields):
        column = each.get_col(table)
        needed = (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
        if needed:
            converters.append((place, column, needed))
    columns = ", ".join(f'"{table}"."{each.column}"' for each in fields)
    return _Reader(columns, tuple(each.attname for each in fields), tuple(converters))


# ruff: noqa: S608 - put together from the names of our own tables and columns.
@cache
def _account_sql(vendor: str) -> str:
    return f"""SELECT {_reader(Account, vendor).columns}, {_reader(Transport, vendor).columns} FROM "accounts"
    JOIN "transports" ON "transports"."id" = "accounts"."imap_id" WHERE "accounts"."id" = %s"""


def account_by_pk(pk: int) -> Account | None:
    """The account with its IMAP transport; None when there is none."""
    ours, theirs = _reader(Account, connection.vendor), _reader(Transport, connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(_account_sql(connection.vendor), [pk])
        row = cursor.fetchone()
    if row is None:
        return None
    account = ours.read(Account, row[: len(ours.names)])
    account.imap = theirs.read(Transport, row[len(ours.names) :])
    return account


@cache
def _states_sql(vendor: str, count: int) -> str:
    # The + 0 keeps SQLite from choosing the folder's index, which is large, over the partial index of requests.
    # PostgreSQL chooses well by itself.
    folder = '"folder_id" + 0' if vendor == "sqlite" else '"folder_id"'
    return f"""SELECT EXISTS (SELECT 1 FROM "quarantine" WHERE "folder_id" = "sync_state"."folder_id"
        AND "uidvalidity" = "sync_state"."uidvalidity" AND "resolved_at" IS NULL AND "fetch_requested_at" IS NOT NULL)
    OR EXISTS (SELECT 1 FROM "message_places" WHERE {folder} = "sync_state"."folder_id"
        AND "uidvalidity" = "sync_state"."uidvalidity" AND "gone_at" IS NULL AND "fetch_requested_at" IS NOT NULL),
    {_reader(SyncState, vendor).columns}, {_reader(Folder, vendor).columns} FROM "sync_state"
    JOIN "folders" ON "folders"."id" = "sync_state"."folder_id"
    WHERE "sync_state"."account_id" = %s AND "folders"."name" IN ({", ".join(["%s"] * count)})"""


def states_of(account: Account, names: Sequence[str]) -> dict[str, LoadedState]:
    """Folder name -> state, for the account's folders of these names that have one."""
    states, folders = _reader(SyncState, connection.vendor), _reader(Folder, connection.vendor)
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(_states_sql(connection.vendor, len(names)), [account.pk, *names])
        for has_asked, *row in cursor.fetchall():
            state = states.read(SyncState, row[: len(states.names)])
            state.folder = folders.read(Folder, row[len(states.names) :])
            found[state.folder.name] = LoadedState(state, bool(has_asked))
    return found
