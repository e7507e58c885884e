"""The tasks that write exports of messages."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils import timezone

from mailbox.exports import requests, writing
from mailbox.exports.selection import SearchSource, Selection, SelectionInvalid
from mailbox.exports.slices import ExportRefused, go_on, queue_stalled
from mailbox.features import FeatureOff
from mailbox.models import Export


def export_slice(export_id: int) -> None:
    """Go on with the export for a while, and queue this task again for the rest."""
    go_on(export_id, Export.What.SEARCH, _write, requests.queue_slice)


def _write(export: Export, user: User) -> None:
    try:
        writing.run(export, SearchSource(Selection.of(export.query), user))
    except (FeatureOff, SelectionInvalid) as refused:
        raise ExportRefused(str(refused)) from refused


def export_sweep() -> dict[str, int]:
    """Every minute: queue exports again that have made no progress lately, and delete expired ones."""
    left = queue_stalled(Export.What.SEARCH, requests.queue_slice)
    return {"exports": left, "removed": writing.remove_over(timezone.now())}
