"""The folders of an account: found by LIST, kept as rows; which are synced is a person's choice."""

from __future__ import annotations

from datetime import datetime, timedelta
from mailbox.imap import ImapSession, ListedFolder
from mailbox.models import Account, Folder

from django.db import transaction

LISTING_EVERY = timedelta(days=1)
MAX_NAME = 500  # characters, as the column


def canonical(name: str) -> str:
    """INBOX in any case is the one INBOX (RFC 3501, 5.1); every other name is taken as it is."""
    return "INBOX" if name.upper() == "INBOX" else name


def listing_is_due(account: Account, now: datetime) -> bool:
    return account.folders_listed_at is None or account.folders_listed_at <= now - LISTING_EVERY


def folder_for(account: Account, name: str) -> Folder:
    """The row of a folder that the server has just opened; a new one is synced only when it is INBOX."""
    name = canonical(name)
    folder, _ = Folder.objects.get_or_create(account=account, name=name, defaults={"sync_enabled": name == "INBOX"})
    return folder


def discover(account: Account, imap: ImapSession, now: datetime) -> list[Folder]:
    """Bring the rows in line with LIST: new ones appear (INBOX chosen), vanished ones get gone_at. Raises MailError."""
    listed = {canonical(each.name): each for each in imap.list_folders() if 0 < len(each.name) <= MAX_NAME}
    with transaction.atomic():
        known = {folder.name: folder for folder in Folder.objects.filter(account=account)}
        new = [_row(account, each, name) for name, each in listed.items() if name not in known]
        Folder.objects.bulk_create(new, ignore_conflicts=True)
        for name, folder in known.items():
            _bring_in_line(folder, listed.get(name), now)
        Account.objects.filter(pk=account.pk).update(folders_listed_at=now)
    account.folders_listed_at = now
    return list(Folder.objects.filter(account=account, gone_at=None))


def _row(account: Account, each: ListedFolder, name: str) -> Folder:
    return Folder(
        account=account,
        name=name,
        delimiter=each.delimiter[:4],
        special_use=each.special_use,
        selectable=each.selectable,
        sync_enabled=name == "INBOX",
    )


def _bring_in_line(folder: Folder, each: ListedFolder | None, now: datetime) -> None:
    if each is None:
        # INBOX always exists (RFC 3501, 5.1), whatever a pattern-happy LIST leaves out.
        wanted = (folder.delimiter, folder.special_use, folder.selectable, None if folder.name == "INBOX" else now)
        if folder.gone_at is not None:
            return
    else:
        wanted = (each.delimiter[:4], each.special_use, each.selectable, None)
    if wanted != (folder.delimiter, folder.special_use, folder.selectable, folder.gone_at):
        folder.delimiter, folder.special_use, folder.selectable, folder.gone_at = wanted
        folder.save(update_fields=["delimiter", "special_use", "selectable", "gone_at"])
