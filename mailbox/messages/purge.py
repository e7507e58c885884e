"""Removes messages that were expunged from the server longer than the grace period ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Message, MessagePlace
from mailbox.search.index import unindex

CHUNK = 200  # messages per transaction


def remove_expunged(now: datetime) -> int:
    """Remove messages without a place, and former places of other messages, after EXPUNGED_GRACE_DAYS.

    Returns how many messages were removed. The raw store's sweep removes their raw bytes when no row refers to them.
    """
    cutoff = now - timedelta(days=settings.EXPUNGED_GRACE_DAYS)
    removed = 0
    while count := _remove_some(cutoff):
        removed += count
    while pks := list(_former_places(cutoff).values_list("pk", flat=True)[:CHUNK]):
        MessagePlace.objects.filter(pk__in=pks, gone_at__lte=cutoff).delete()
    return removed


def _former_places(cutoff: datetime) -> QuerySet[MessagePlace]:
    """Places that are gone since `cutoff` or longer, except those of messages under a legal hold."""
    rows, held = MessagePlace.objects.filter(gone_at__lte=cutoff), LegalHolds.standing()
    return rows.exclude(message__in=Message.objects.filter(held.of_messages())) if held.is_any else rows


def _remove_some(cutoff: datetime) -> int:
    with transaction.atomic():
        # The rows are locked and checked under the lock, as a sync may find the mail in another folder at this moment.
        lying = Exists(MessagePlace.objects.present().filter(message=OuterRef("pk")))
        holds = LegalHolds.until_commit()
        gone = Message.objects.select_for_update().filter(~lying, gone_at__lte=cutoff).order_by("pk")
        gone = gone.exclude(holds.of_messages())
        pks = list(gone.values_list("pk", flat=True)[:CHUNK])
        unindex(pks)
        Message.objects.filter(pk__in=pks).delete()
    return len(pks)
