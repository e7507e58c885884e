"""Removes the rows that rules match: once a day, in small batches with rests between them, by one worker at a time.

A batch is a short transaction (mailbox.resting_batches). A task works for some seconds and queues the next one, so that
it does not block a worker. If a task is lost, the next day's run continues.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import F

from mailbox import deletions
from mailbox.db.deadlocks import committed
from mailbox.logs import event
from mailbox.messages.legal_holds import LegalHolds
from mailbox.models import AuditEntry, RetentionRule
from mailbox.queueing import queue
from mailbox.resting_batches import LOOKED_UP, RestingBatches
from prx_email_site.retention.kinds import KINDS

logger = logging.getLogger(__name__)
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
    """For `seconds`, remove rows that are old at the time `agreed` (ISO 8601); queue another slice if some are left.

    Not once a later day's run has begun: two at a time would leave no rests.
    """
    now, ends, batches = datetime.fromisoformat(agreed), time.monotonic() + seconds, RestingBatches()
    if deletions.is_superseded("retention", now):
        return
    for rule in rules():
        removed = _Removed(rule, now)
        while not removed.is_done and (not removed.number or time.monotonic() < ends):
            for part in batches.parts(removed.look_up()):
                removed.batch(part)
                if removed.is_done or time.monotonic() >= ends:
                    break
        if removed.number:
            event(logger, "retention_removed", rule=rule.pk or "setting", what=rule.what, removed=removed.number)
        if not removed.is_done:
            queue(SLICE, agreed, group="retention")
            return


@dataclass
class _Removed:
    """The removal by one rule in this slice.

    reached: the first value of the order at which the next look-up begins. Rows before it are held; without it, every
    look-up would read them again.
    """

    rule: RetentionRule
    now: datetime
    number: int = 0
    is_done: bool = False
    reached: Any = None
    entry: AuditEntry | None = None

    def look_up(self) -> list[int]:
        """The pks of the next rows, not yet locked. Outside of a transaction, as it may read many rows."""
        kind = KINDS[self.rule.what]
        order, rows = kind.order_of(self.rule), kind.rows(self.rule, LegalHolds.standing(), self.now)
        if self.reached is not None:
            rows = rows.filter(**{f"{order[0]}__gte": self.reached})
        found = list(rows.order_by(*order).values_list(*order)[:LOOKED_UP])
        self.is_done = not found
        self.reached = found[-1][0] if found else None
        return [row[-1] for row in found]

    def batch(self, pks: Sequence[int]) -> None:
        """Remove those of these rows that the rule still means. Legal holds are read again and the rows are locked when
        they are selected, as a sync or a sender may be changing one of them."""
        self.number += committed(lambda: self._remove(pks))

    def _remove(self, pks: Sequence[int]) -> int:
        rule, kind = self.rule, KINDS[self.rule.what]
        terms = {name: getattr(rule, name) for name in RetentionRule.TERMS}
        if rule.pk and not RetentionRule.objects.select_for_update().filter(pk=rule.pk, **terms).exists():
            self.is_done = True  # the rule was ended or changed; the next day's run uses the new terms
            return 0
        rows = kind.rows(rule, LegalHolds.until_commit(), self.now).select_for_update(of=("self",))
        found = list(rows.filter(pk__in=pks).order_by("pk").values_list("pk", flat=True))
        kind.remove(rows, found)
        if found:
            self._note(len(found))
        return len(found)

    def _note(self, number: int) -> None:
        """Record the removal in the batch's transaction, so that all that a killed worker removed is recorded."""
        rule = self.rule
        if rule.pk:
            counted = {"removed": F("removed") + number, "last_removed_at": self.now}
            RetentionRule.objects.filter(pk=rule.pk).update(**counted)
        target = f"retention:{rule.pk or 'setting'}"
        self.entry = self.entry or AuditEntry(verb="retention_removed", target=target, account=rule.account)
        self.entry.detail = f"{rule}: {self.number + number} removed"
        self.entry.save()
