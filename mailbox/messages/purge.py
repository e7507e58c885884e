"""Removes messages that were expunged from the server longer than the grace period ago."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet

from mailbox.db.deadlocks import committed
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import Message, MessagePlace
from mailbox.resting_batches import LOOKED_UP, RestingBatches
from mailbox.search.index import unindex

SLICE_SECONDS = 20.0


def remove_expunged(now: datetime, seconds: float = SLICE_SECONDS) -> int:
    """For `seconds`, remove messages without a place, and former places of others, after EXPUNGED_GRACE_DAYS.

    Returns how many messages and former places were removed; none are left once it is 0. The raw store's sweep removes
    raw bytes when no row refers to them.
    """
    cutoff, ends = now - timedelta(days=settings.EXPUNGED_GRACE_DAYS), time.monotonic() + seconds
    batches = RestingBatches()
    removed = 0
    for find, remove in ((_gone, _remove_messages), (_former_places, _remove_places)):
        while found := list(find(cutoff, LegalHolds.standing()).values_list("pk", flat=True)[:LOOKED_UP]):
            for part in batches.parts(found):
                removed += remove(cutoff, part)
                if removed and time.monotonic() >= ends:
                    return removed
    return removed


def _gone(cutoff: datetime, holds: LegalHolds) -> QuerySet[Message]:
    lying = Exists(MessagePlace.objects.present().filter(message=OuterRef("pk")))
    return Message.objects.filter(~lying, gone_at__lte=cutoff).exclude(holds.of_messages()).order_by("gone_at")


def _former_places(cutoff: datetime, holds: LegalHolds) -> QuerySet[MessagePlace]:
    """Places that are gone since `cutoff` or longer, except those of messages under a legal hold."""
    rows = MessagePlace.objects.filter(gone_at__lte=cutoff).order_by("gone_at")
    return rows.exclude(message__in=Message.objects.filter(holds.of_messages())) if holds.is_any else rows


def _remove_messages(cutoff: datetime, pks: Sequence[int]) -> int:
    """The rows are locked and checked under the lock, as a sync may find the mail in another folder at this moment."""

    def remove() -> int:
        gone = _gone(cutoff, LegalHolds.until_commit()).select_for_update(of=("self",)).filter(pk__in=pks)
        found = list(gone.order_by("pk").values_list("pk", flat=True))
        unindex(found)
        Message.objects.filter(pk__in=found).delete()
        return len(found)

    return committed(remove)


def _remove_places(cutoff: datetime, pks: Sequence[int]) -> int:
    return committed(
        lambda: _former_places(cutoff, LegalHolds.until_commit()).filter(pk__in=pks).order_by().delete()[0]
    )
