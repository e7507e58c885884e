"""django-q2's entry points. Each may run twice, or be killed at any instruction."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mailbox.clocks import is_stale
from mailbox.exports import writing
from mailbox.models import Export, PersonSearch
from mailbox.permissions import Role, has_role_everywhere
from prx_email_site.personal_data import exporting, requests, walking

STALLED = timedelta(seconds=90)


def person_slice(search_id: int) -> None:
    """Continue a search or an erasure for some seconds; queue the next slice if it is not done."""
    search = PersonSearch.objects.at_work().select_related("user").filter(pk=search_id).first()
    if search is None:
        return
    walking.run(search)
    if PersonSearch.objects.at_work().filter(pk=search_id).exists():
        requests.queue_slice(search_id)


def person_export_slice(export_id: int) -> None:
    """Make the next pieces of an export, and queue the rest; fails it once its user is no administrator any more."""
    export = Export.objects.unfinished().select_related("user").filter(pk=export_id, what=Export.What.PERSON).first()
    if export is None:
        return
    if export.user is None or not has_role_everywhere(export.user, Role.ADMINISTRATOR):
        writing.fail(export, writing.NOT_ALLOWED, timezone.now())
        return
    writing.run(export, exporting.PersonSource(export.query))
    if Export.objects.unfinished().filter(pk=export_id, error="").exists():
        exporting.queue_slice(export_id)


def person_sweep() -> dict[str, int]:
    """Every minute: queue stalled searches and exports again; delete old searches that were not confirmed."""
    now = timezone.now()
    left = list(PersonSearch.objects.at_work().filter(is_stale("moved_at", STALLED, now)).values_list("pk", flat=True))
    for search_id in left:
        requests.queue_slice(search_id)
    exports = writing.stalled(Export.What.PERSON, now)
    for export_id in exports:
        exporting.queue_slice(export_id)
    old = PersonSearch.objects.filter(state=PersonSearch.State.COUNTED, moved_at__lt=now - requests.KEPT)
    return {"searches": len(left), "exports": len(exports), "forgotten": old.delete()[0]}
