"""django-q2's entry points for mail that is stored. Each may run twice, or be killed any time."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mailbox.messages import reparse
from mailbox.models import Reparse
from mailbox.queueing import queue

SLICE_SECONDS = 40  # of reading before the next task: far below every time-out, and no worker is held for long
STALLED = timedelta(seconds=90)  # a batch takes seconds; whoever read it was killed


def queue_reparse(round_id: int) -> None:
    """Read stored mail again, once the present transaction has committed."""
    queue("mailbox.tasks.reparse_slice", round_id, group="reparse")


def reparse_slice(round_id: int) -> None:
    """Go on with a round for a while, and leave the rest to the next task."""
    round_ = Reparse.objects.unfinished().select_related("account").filter(pk=round_id).first()
    if round_ is None:
        return
    moved = list(reparse.go_on(round_, seconds=SLICE_SECONDS))
    if moved and moved[-1].finished_at is None:
        queue("mailbox.tasks.reparse_slice", round_id, group="reparse")


def reparse_stalled() -> None:
    """Each minute: go on with rounds that nobody has moved on for a while."""
    for pk in Reparse.objects.unfinished().filter(moved_at__lt=timezone.now() - STALLED).values_list("pk", flat=True):
        reparse_slice(pk)
