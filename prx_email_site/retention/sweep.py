"""Remove what rules mean: once a day, in small batches, by workers.

A batch is a short transaction. A task works for some seconds and queues the next, so that it holds no worker; one that
is lost goes on with the next day's.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from mailbox import deletions
from mailbox.logs import event
from mailbox.messages.holds import Holds
from mailbox.models import AuditEntry, RetentionRule
from mailbox.queueing import queue
from prx_email_site.retention.kinds import KINDS

logger = logging.getLogger(__name__)
BATCH = 200  # rows a transaction
SLICE_SECONDS = 20.0
SLICE = "prx_email_site.retention.sweep.remove_slice"


def rules() -> list[RetentionRule]:
    """Those that people made, and those of PRX_EMAIL_RETENTION, which have no key."""
    made = RetentionRule.objects.select_related("account").order_by("pk")
    return [*made, *(RetentionRule(what=what, days=days) for what, days in settings.RETENTION_DAYS.items())]


def begin() -> None:
    """Daily, when two looks agree about the time."""
    deletions.if_two_looks_agree("retention", lambda _now: queue(SLICE, group="retention"))


def remove_slice(seconds: float = SLICE_SECONDS) -> None:
    """Remove for so long, and queue the next slice when something is left."""
    now, ends = timezone.now(), time.monotonic() + seconds
    for rule in rules():
        removed, is_done = _remove_all(rule, now, ends)
        if removed:
            event(logger, "retention_removed", rule=rule.pk or "setting", what=rule.what, removed=removed)
            detail = f"{rule}: {removed} removed"
            target = f"retention:{rule.pk or 'setting'}"
            AuditEntry.objects.create(verb="retention_removed", target=target, account=rule.account, detail=detail)
        if not is_done:
            queue(SLICE, group="retention")
            return


def _remove_all(rule: RetentionRule, now: datetime, ends: float) -> tuple[int, bool]:
    """How many went, and whether none is left."""
    removed = 0
    while number := remove_batch(rule, now):
        removed += number
        if time.monotonic() >= ends:
            return removed, False
    return removed, True


def remove_batch(rule: RetentionRule, now: datetime) -> int:
    """One batch; how many rows went. Holds are read anew, and rows locked and asked again under the lock: a sync or a
    sender may be at one of them at this moment."""
    kind = KINDS[rule.what]
    with transaction.atomic():
        if rule.pk and not RetentionRule.objects.select_for_update().filter(pk=rule.pk).exists():
            return 0  # taken back meanwhile
        rows = kind.rows(rule, Holds.standing(), now).select_for_update(of=("self",))
        pks = list(rows.order_by(*kind.order).values_list("pk", flat=True)[:BATCH])
        kind.remove(rows, pks)
        if rule.pk and pks:
            RetentionRule.objects.filter(pk=rule.pk).update(removed=F("removed") + len(pks), last_removed_at=now)
    return len(pks)
