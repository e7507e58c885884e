"""What has been gone from the server for longer than the grace period is removed here too."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Message, MessagePlace
from mailbox.search.index import unindex

CHUNK = 200  # messages a transaction


def remove_expunged(now: datetime) -> int:
    """Remove messages that lie nowhere, and former places of others, gone for EXPUNGED_GRACE_DAYS; returns how many
    messages went. Their raw bytes go with the raw store's own sweep, once nothing refers to them."""
    cutoff = now - timedelta(days=settings.EXPUNGED_GRACE_DAYS)
    removed = 0
    while count := _remove_some(cutoff):
        removed += count
    while pks := list(_former_places(cutoff).values_list("pk", flat=True)[:CHUNK]):
        MessagePlace.objects.filter(pk__in=pks, gone_at__lte=cutoff).delete()
    return removed


def _former_places(cutoff: datetime) -> QuerySet[MessagePlace]:
    """Where messages lay once, but for those that a legal hold keeps as they are."""
    rows, held = MessagePlace.objects.filter(gone_at__lte=cutoff), LegalHolds.standing()
    return rows.exclude(message__in=Message.objects.filter(held.of_messages())) if held.is_any else rows


def _remove_some(cutoff: datetime) -> int:
    with transaction.atomic():
        # Locked, and asked again under the lock: a sync may be finding the mail in another folder at this moment.
        lying = Exists(MessagePlace.objects.present().filter(message=OuterRef("pk")))
        holds = LegalHolds.until_commit()
        gone = Message.objects.select_for_update().filter(~lying, gone_at__lte=cutoff).order_by("pk")
        gone = gone.exclude(holds.of_messages())
        pks = list(gone.values_list("pk", flat=True)[:CHUNK])
        unindex(pks)
        Message.objects.filter(pk__in=pks).delete()
    return len(pks)
