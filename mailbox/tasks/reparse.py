"""The tasks that parse stored mail again. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mailbox.clocks import is_stale
from mailbox.messages import reparse
from mailbox.models import Reparse
from mailbox.queueing import queue

SLICE_SECONDS = 40  # for one task: far below every time-out, and no worker is occupied for long
STALLED = timedelta(seconds=90)  # a batch takes seconds: after this time without one the worker counts as killed


def queue_reparse(round_id: int) -> None:
    """Queue a round that parses stored mail again, once the current transaction has committed."""
    queue("mailbox.tasks.reparse_slice", round_id, group="reparse")


def reparse_slice(round_id: int) -> None:
    """Go on with a round for a while, and queue this task again for the rest."""
    round_ = Reparse.objects.unfinished().select_related("account").filter(pk=round_id).first()
    if round_ is None:
        return
    moved = list(reparse.go_on(round_, seconds=SLICE_SECONDS))
    if moved and moved[-1].finished_at is None:
        queue("mailbox.tasks.reparse_slice", round_id, group="reparse")


def reparse_stalled() -> None:
    """Every minute: queue rounds again that have made no progress lately. Each is a task of its own, so that one that
    fails does not hold up the others."""
    left = Reparse.objects.unfinished().filter(is_stale("moved_at", STALLED, timezone.now()))
    for pk in left.values_list("pk", flat=True):
        queue_reparse(pk)
