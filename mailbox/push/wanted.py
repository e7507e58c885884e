"""Which accounts want push, and what a watcher needs to know of each. Queries only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, F, FilteredRelation, OuterRef, Q

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
    """An account that wants push. When `made_of` changes (server, user, secrets), its watcher connects anew."""

    account_id: int
    known: FolderNumbers  # of INBOX, as the last sync found them
    not_before: datetime | None  # in backoff until then
    made_of: tuple[object, ...]  # the columns of MADE_OF; the last three are the secrets, encrypted

    @property
    def server(self) -> str:
        """The host name of its IMAP server."""
        return str(self.made_of[MADE_OF.index("imap__host")])


def wanted() -> list[AccountToWatch]:
    """The accounts with push on, whose INBOX is synced, and whose sign-in was not refused. One query.

    The mail of a Gmail account's INBOX is synced from All Mail.
    """
    if network.is_off():
        return []
    inbox = Folder.objects.chosen().holding_inbox().filter(account=OuterRef("pk"))
    rows = (
        Account.objects.syncing()
        .filter(Exists(inbox), push_enabled=True, imap__needs_sign_in_since=None)
        .alias(inbox=FilteredRelation("folders", condition=Q(folders__name="INBOX")))
        .order_by("pk")
    )
    numbers = [F(f"inbox__sync_state__{name}") for name in NUMBERS]
    return [
        AccountToWatch(pk, FolderNumbers(*rest[: len(NUMBERS)]), until, tuple(rest[len(NUMBERS) :]))
        for pk, until, *rest in rows.values_list("pk", "imap__next_allowed_at", *numbers, *MADE_OF)
    ]


def other_folders(account_ids: Collection[int]) -> dict[int, dict[str, FolderNumbers]]:
    """account pk -> folder name -> numbers of the last sync, for all synced folders but INBOX. One query."""
    found: dict[int, dict[str, FolderNumbers]] = {}
    folders = Folder.objects.chosen().exclude(name="INBOX")
    numbers = (f"sync_state__{name}" for name in NUMBERS)
    for account_id, name, *known in folders.values_list("account_id", "name", *numbers):
        if account_id in account_ids:
            found.setdefault(account_id, {})[name] = FolderNumbers(*known)
    return found
