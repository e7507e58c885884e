"""Removes the rows that rules match: once a day, in small batches, by workers.

A batch is a short transaction. A task works for some seconds and queues the next one, so that it does not block a
worker. If a task is lost, the next day's run continues.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from mailbox import deletions
from mailbox.logs import event
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import AuditEntry, RetentionRule
from mailbox.queueing import queue
from prx_email_site.retention.kinds import KINDS

logger = logging.getLogger(__name__)
BATCH = 200  # rows a transaction
SLICE_SECONDS = 20.0
SLICE = "prx_email_site.retention.sweep.remove_slice"


def rules() -> list[RetentionRule]:
    """The rules that people made, and those of PRX_EMAIL_RETENTION, which have no pk."""
    made = RetentionRule.objects.select_related("account").order_by("pk")
    return [*made, *(RetentionRule(what=what, days=days) for what, days in settings.RETENTION_DAYS.items())]


def begin() -> None:
    """The daily task: queue the first slice if two looks, about a day apart, agree about the time (mailbox.deletions).

    All slices use that time, as the host's clock may be changed meanwhile.
    """
    deletions.if_two_looks_agree("retention", lambda now: queue(SLICE, now.isoformat(), group="retention"))


def remove_slice(agreed: str, seconds: float = SLICE_SECONDS) -> None:
    """For `seconds`, remove rows that are old at the time `agreed` (ISO 8601); queue another slice if some are left."""
    now, ends = datetime.fromisoformat(agreed), time.monotonic() + seconds
    for rule in rules():
        removed = _Removed(rule, now)
        while not removed.is_done and (not removed.number or time.monotonic() < ends):
            removed.batch()
        if removed.number:
            event(logger, "retention_removed", rule=rule.pk or "setting", what=rule.what, removed=removed.number)
        if not removed.is_done:
            queue(SLICE, agreed, group="retention")
            return


@dataclass
class _Removed:
    """The removal by one rule in this slice.

    reached: the first value of the order at which the next batch begins. Rows before it are held; without it, every
    batch would read them again.
    """

    rule: RetentionRule
    now: datetime
    number: int = 0
    is_done: bool = False
    reached: Any = None
    entry: AuditEntry | None = None

    def batch(self) -> None:
        """Remove one batch. Legal holds are read again and the rows are locked when they are selected, as a sync or a
        sender may be changing one of them."""
        rule, kind = self.rule, KINDS[self.rule.what]
        with transaction.atomic():
            terms = {name: getattr(rule, name) for name in RetentionRule.TERMS}
            if rule.pk and not RetentionRule.objects.select_for_update().filter(pk=rule.pk, **terms).exists():
                self.is_done = True  # the rule was ended or changed; the next day's run uses the new terms
                return
            rows = kind.rows(rule, LegalHolds.until_commit(), self.now).select_for_update(of=("self",))
            if self.reached is not None:
                rows = rows.filter(**{f"{kind.order[0]}__gte": self.reached})
            found = list(rows.order_by(*kind.order).values_list(*kind.order)[:BATCH])
            kind.remove(rows, [row[-1] for row in found])
            if found:
                self._note(len(found))
        self.is_done = not found
        self.reached = found[-1][0] if found else None

    def _note(self, number: int) -> None:
        """Record the removal in the batch's transaction, so that all that a killed worker removed is recorded."""
        rule, self.number = self.rule, self.number + number
        if rule.pk:
            counted = {"removed": F("removed") + number, "last_removed_at": self.now}
            RetentionRule.objects.filter(pk=rule.pk).update(**counted)
        target = f"retention:{rule.pk or 'setting'}"
        self.entry = self.entry or AuditEntry(verb="retention_removed", target=target, account=rule.account)
        self.entry.detail = f"{rule}: {self.number} removed"
        self.entry.save()
