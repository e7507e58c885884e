"""Which accounts want push, and what their watchers must know. Queries only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, FilteredRelation, Q

from mailbox import network
from mailbox.imap.idle import FolderNumbers
from mailbox.models import Account, Folder

MADE_OF = (
    "ca_certificate",
    "imap__host",
    "imap__port",
    "imap__user",
    "imap__private_host_allowed",
    "imap__encrypted_password",
    "imap__encrypted_oauth_token",
    "imap__grant_id",
)
NUMBERS = ("uidvalidity", "uidnext", "exists", "highestmodseq")  # of a SyncState, in the order of FolderNumbers


@dataclass(frozen=True)
class AccountToWatch:
    """An account that wants push, and what its connection is made of: when that changes, another is made."""

    account_id: int
    known: FolderNumbers  # of INBOX, by the last sync
    not_before: datetime | None  # the server asked for a wait, or could not be reached
    made_of: tuple[object, ...]  # MADE_OF; ends with the secrets, as they are stored

    @property
    def server(self) -> str:
        return str(self.made_of[MADE_OF.index("imap__host")])


def wanted() -> list[AccountToWatch]:
    """Accounts with push and a synced INBOX, but those whose sign-in was refused. One query."""
    if network.is_off():
        return []
    rows = (
        Account.objects.syncing()
        .filter(push_enabled=True, imap__needs_sign_in_since=None)
        .alias(inbox=FilteredRelation("folders", condition=Q(folders__name="INBOX")))
        .filter(inbox__sync_enabled=True, inbox__gone_at=None)
        .order_by("pk")
    )
    numbers = [F(f"inbox__sync_state__{name}") for name in NUMBERS]
    return [
        AccountToWatch(pk, FolderNumbers(*rest[: len(NUMBERS)]), until, tuple(rest[len(NUMBERS) :]))
        for pk, until, *rest in rows.values_list("pk", "imap__next_allowed_at", *numbers, *MADE_OF)
    ]


def other_folders(account_ids: Collection[int]) -> dict[int, dict[str, FolderNumbers]]:
    """What syncs know of the chosen folders besides INBOX, by account and name. One query."""
    found: dict[int, dict[str, FolderNumbers]] = {}
    folders = Folder.objects.chosen().exclude(name="INBOX")
    numbers = (f"sync_state__{name}" for name in NUMBERS)
    for account_id, name, *known in folders.values_list("account_id", "name", *numbers):
        if account_id in account_ids:
            found.setdefault(account_id, {})[name] = FolderNumbers(*known)
    return found
