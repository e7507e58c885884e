"""Loads account, transport and sync states by raw SQL: ten times faster here than the ORM.

The results are ordinary model instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from mailbox.db.statements import RowReader, rows
from mailbox.models import Account, Folder, SyncState, Transport

# ruff: noqa: S608 - put together from the names of our own tables and columns.
_ACCOUNT, _TRANSPORT = RowReader(Account), RowReader(Transport)
_STATE, _FOLDER = RowReader(SyncState), RowReader(Folder)
_ACCOUNT_SQL = f"""SELECT {_ACCOUNT.columns}, {_TRANSPORT.columns} FROM "accounts"
JOIN "transports" ON "transports"."id" = "accounts"."imap_id" WHERE "accounts"."id" = %s"""


def account_by_pk(pk: int) -> Account | None:
    """The account with its IMAP transport; None when there is none."""
    for row in rows(_ACCOUNT_SQL, [pk]):
        account = _ACCOUNT.read(row)
        account.imap = _TRANSPORT.read(row[len(_ACCOUNT.names) :])
        return account
    return None


@cache
def _states_sql(count: int) -> str:
    # The + 0 keeps SQLite from choosing the folder's index, which is large, over the partial index of requests.
    return f"""SELECT EXISTS (SELECT 1 FROM "quarantine" WHERE "folder_id" = "sync_state"."folder_id"
        AND "uidvalidity" = "sync_state"."uidvalidity" AND "resolved_at" IS NULL AND "fetch_requested_at" IS NOT NULL)
    OR EXISTS (SELECT 1 FROM "message_places" WHERE "folder_id" + 0 = "sync_state"."folder_id"
        AND "uidvalidity" = "sync_state"."uidvalidity" AND "gone_at" IS NULL AND "fetch_requested_at" IS NOT NULL),
    {_STATE.columns}, {_FOLDER.columns} FROM "sync_state"
    JOIN "folders" ON "folders"."id" = "sync_state"."folder_id"
    WHERE "sync_state"."account_id" = %s AND "folders"."name" IN ({", ".join(["%s"] * count)})"""


def states_of(account: Account, names: Sequence[str]) -> dict[str, SyncState]:
    """Folder name -> state, with its folder and `has_asked`, for the account's folders of these names that have one."""
    found = {}
    for has_asked, *row in rows(_states_sql(len(names)), [account.pk, *names]):
        state = _STATE.read(row)
        state.has_asked, state.folder = bool(has_asked), _FOLDER.read(row[len(_STATE.names) :])
        found[state.folder.name] = state
    return found
