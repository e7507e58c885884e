"""How much is kept: counted by the clock, shown with its time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Count, Sum

from mailbox.models import Account, Attachment, Message, RawMessage, StorageUse

Kind = StorageUse.Kind


def put(kind: str, counted: Mapping[int | None, tuple[int, int]], now: datetime) -> None:
    """Replace what is known of this kind: account's pk (None: of all) -> items and bytes."""
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
    """Count what is received and what lies on disk. Reads whole tables: for a worker, never for a page."""
    mail = Message.objects.order_by().values_list("account").annotate(Count("pk"), Sum("size"))
    put(Kind.RECEIVED, {account: (items, size) for account, items, size in mail}, now)
    there = Attachment.objects.filter(removed_at=None).order_by()
    files = there.values_list("account").annotate(Count("pk"), Sum("size"))
    put(Kind.RECEIVED_FILES, {account: (items, size) for account, items, size in files}, now)
    disk = RawMessage.objects.aggregate(items=Count("pk"), size=Sum("length"))
    put(Kind.ON_DISK, {None: (disk["items"], disk["size"] or 0)}, now)


def free_percent(folder: Path) -> int | None:
    """How much of the folder's disk its user may still write, in percent, rounded down; None when that is unknown."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail * 100 // disk.f_blocks if disk.f_blocks else None
