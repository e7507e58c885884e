"""django-q2's entry point that counts the stored written mail."""

from __future__ import annotations

from django.db.models import Count, Sum, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from mailbox.models import Account, StorageUse
from mailbox.storage.usage import OF_ACCOUNT, put
from outbox import tab_counts
from outbox.models import OutboxAttachment, OutboxMessage


def count_storage() -> None:
    """Hourly: count written mail and its attachments by account, in number and bytes, and sent or cancelled rows.

    It reads the outbox table once, which takes a second for a million rows.
    """
    now = timezone.now()
    rows = OutboxMessage.objects.order_by().values_list(OF_ACCOUNT, Coalesce("status", Value("")))
    by_status = list(rows.annotate(Count("pk"), Sum("mime_size")))
    kept: dict[int | None, tuple[int, int]] = {}
    for account, _status, items, size in by_status:
        before = kept.get(account, (0, 0))
        kept[account] = (before[0] + items, before[1] + size)
    put(StorageUse.Kind.SENT, kept, now)
    there = Account.objects.values_list("pk", flat=True)
    tab_counts.put([(account, status, number) for account, status, number, _size in by_status], there, now)
    files = OutboxAttachment.objects.order_by().values_list(OF_ACCOUNT).annotate(Count("pk"), Sum("size"))
    put(StorageUse.Kind.SENT_FILES, {account: (items, size) for account, items, size in files}, now)
