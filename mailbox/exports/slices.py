"""A worker's turn at an export, whatever it is of. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.models import User
from django.utils import timezone

from mailbox.exports import writing
from mailbox.models import Export


class ExportRefused(Exception):
    """Its user may not have it, or what was asked for is no longer there; str() says why, to the user."""


def go_on(export_id: int, what: str, write: Callable[[Export, User], object], queue: Callable[[int], object]) -> None:
    """Call `write`, and `queue` for the rest. what: an Export.What; of other exports nothing is done.

    An export of a user who is gone, and one for which `write` raises ExportRefused, fails for good. One that cannot go
    on now has an error and is not queued here: `queue_stalled` does that, once a minute.
    """
    export = Export.objects.unfinished().select_related("user").filter(pk=export_id, what=what).first()
    if export is None:
        return
    try:
        if export.user is None or not export.user.is_active:
            raise ExportRefused(writing.NOT_ALLOWED)
        write(export, export.user)
    except ExportRefused as refused:
        writing.fail(export, str(refused), timezone.now())
        return
    if Export.objects.unfinished().filter(pk=export_id, error="").exists():
        queue(export_id)


def queue_stalled(what: str, queue: Callable[[int], object]) -> int:
    """Queue exports again that have made no progress lately; return how many."""
    left = writing.stalled(what, timezone.now())
    for export_id in left:
        queue(export_id)
    return len(left)
