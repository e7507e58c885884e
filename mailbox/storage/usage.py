"""Counts stored mail by a scheduled task; pages show the counts with their time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Count, F, Sum

from mailbox.models import Account, Attachment, Message, RawMessage, StorageUse

Kind = StorageUse.Kind
# A row's account, to group by. A sum (and the status in another way, too), so that a table is read from end to end:
# SQLite would follow an index over the account and look up each row by itself, which takes five times as long.
OF_ACCOUNT = F("account_id") + 0


def put(kind: str, counted: Mapping[int | None, tuple[int, int]], now: datetime) -> None:
    """Replace the counts of this kind. counted: account's pk, or None for all accounts -> items and bytes."""
    there = {None, *Account.objects.filter(pk__in=[pk for pk in counted if pk]).values_list("pk", flat=True)}
    rows = [
        StorageUse(account_id=account, kind=kind, items=items, size=size, counted_at=now)
        for account, (items, size) in counted.items()
        if account in there  # it may have been deleted since it was counted
    ]
    with transaction.atomic():
        StorageUse.objects.filter(kind=kind).delete()
        StorageUse.objects.bulk_create(rows)


def count(now: datetime) -> None:
    """Count received mail and raw bytes on disk. Reads whole tables: only for workers, never for a page."""
    mail = Message.objects.order_by().values_list(OF_ACCOUNT).annotate(Count("pk"), Sum("size"))
    put(Kind.RECEIVED, {account: (items, size) for account, items, size in mail}, now)
    there = Attachment.objects.filter(removed_at=None).order_by()
    files = there.values_list(OF_ACCOUNT).annotate(Count("pk"), Sum("size"))
    put(Kind.RECEIVED_FILES, {account: (items, size) for account, items, size in files}, now)
    disk = RawMessage.objects.aggregate(items=Count("pk"), size=Sum("length"))
    put(Kind.ON_DISK, {None: (disk["items"], disk["size"] or 0)}, now)


def free_percent(folder: Path) -> int | None:
    """Free space on the folder's disk for this process, in percent, rounded down; None if unknown."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * 100 // disk.f_blocks if disk.f_blocks else None
