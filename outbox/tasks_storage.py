"""django-q2's entry point that counts what is kept of written mail."""

from __future__ import annotations

from mailbox.models import StorageUse
from mailbox.storage_use import put

from django.db.models import Count, Sum
from django.utils import timezone

from outbox.models import OutboxAttachment, OutboxMessage


def count_storage() -> None:
    """Hourly: written mail and its attachments, by account."""
    now = timezone.now()
    mail = OutboxMessage.objects.order_by().values_list("account").annotate(Count("pk"), Sum("mime_size"))
    put(StorageUse.Kind.SENT, {account: (items, size) for account, items, size in mail}, now)
    files = OutboxAttachment.objects.order_by().values_list("outbox__account").annotate(Count("pk"), Sum("size"))
    put(StorageUse.Kind.SENT_FILES, {account: (items, size) for account, items, size in files}, now)
