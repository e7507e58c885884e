"""Removes, daily, what is only removed by another event otherwise, and what once had no end: see table_ends."""

from __future__ import annotations

from datetime import datetime, timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from api.models import KeptAnswer
from api.v1.protocol import idempotency
from mailbox import deletions
from mailbox.models import ConnectionTest, Reparse
from mailbox.resting_batches import LOOKED_UP, RestingBatches
from outbox.models import Operation, OperationRow
from prx_email_site.backup import databases
from prx_email_site.local_files.scratch_folders import remove_left_ones

TESTS_KEPT = timedelta(days=14)  # of connections; each account's newest stays
ROUNDS_KEPT = timedelta(days=400)  # bulk actions, and rounds of reading stored mail again


def prune() -> None:
    """The daily task. A lost one is made up for by the next day's."""
    remove_left_ones()
    databases.drop_left_ones(timezone.now())
    deletions.if_two_looks_agree("records", _prune)


def _prune(now: datetime) -> None:
    AccessAttempt.objects.filter(attempt_time__lt=now - settings.AXES_COOLOFF_TIME).delete()
    KeptAnswer.objects.filter(created_at__lt=now - idempotency.KEPT).delete()
    newer = ConnectionTest.objects.filter(account=OuterRef("account"), pk__gt=OuterRef("pk"))
    ConnectionTest.objects.filter(Exists(newer), requested_at__lt=now - TESTS_KEPT).delete()
    Reparse.objects.filter(finished_at__lt=now - ROUNDS_KEPT).delete()
    _remove_operations(now - ROUNDS_KEPT)


def _remove_operations(cutoff: datetime) -> None:
    """Remove bulk actions with their rows, of which one may have hundreds of thousands."""
    over, batches = Operation.objects.filter(finished_at__lt=cutoff), RestingBatches()
    rows = OperationRow.objects.filter(operation__in=over).order_by("pk").values_list("pk", flat=True)
    while pks := list(rows[:LOOKED_UP]):
        for part in batches.parts(pks):
            OperationRow.objects.filter(pk__in=part).delete()
    over.delete()
