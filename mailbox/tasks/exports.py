"""The tasks that write exports of messages. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from django.utils import timezone

from mailbox.exports import requests, writing
from mailbox.exports.selection import SearchSource, Selection, SelectionInvalid
from mailbox.features import FeatureOff
from mailbox.models import Export


def export_slice(export_id: int) -> None:
    """Go on with the export for a while, and queue this task again for the rest."""
    export = Export.objects.unfinished().select_related("user").filter(pk=export_id, what=Export.What.SEARCH).first()
    if export is None:
        return
    if export.user is None or not export.user.is_active:
        writing.fail(export, writing.NOT_ALLOWED, timezone.now())
        return
    try:
        writing.run(export, SearchSource(Selection.of(export.query), export.user))
    except (FeatureOff, SelectionInvalid) as refused:
        writing.fail(export, str(refused), timezone.now())
        return
    # An export that cannot go on now has an error; the sweep queues it again, once a minute.
    if Export.objects.unfinished().filter(pk=export_id, error="").exists():
        requests.queue_slice(export_id)


def export_sweep() -> dict[str, int]:
    """Every minute: queue exports again that have made no progress lately, and delete expired ones."""
    now = timezone.now()
    left = writing.stalled(Export.What.SEARCH, now)
    for export_id in left:
        requests.queue_slice(export_id)
    return {"exports": len(left), "removed": writing.remove_over(now)}
