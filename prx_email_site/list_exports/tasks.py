"""The tasks that write exports of lists."""

from __future__ import annotations

from contextlib import ExitStack

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404
from django.utils import timezone, translation

from mailbox.exports import writing
from mailbox.exports.slices import ExportRefused, go_on, queue_stalled
from mailbox.models import Export
from mailbox.permissions import language_of, zone_of
from mailbox.queueing import queue
from prx_email_site.list_exports.lists import source_of


def queue_slice(export_id: int) -> None:
    """Queue the task that goes on with the export, once the current transaction has committed."""
    queue("prx_email_site.list_exports.tasks.list_export_slice", export_id, group="export")


def list_export_slice(export_id: int) -> None:
    """Go on with the export for a while, and queue this task again for the rest."""
    go_on(export_id, Export.What.LIST, _write, queue_slice)


def _write(export: Export, user: User) -> None:
    try:
        with as_seen_by(user):
            writing.run(export, source_of(export, user))
    except (BadRequest, PermissionDenied, Http404, KeyError) as gone:  # a role, an account or a filter
        raise ExportRefused(writing.NOT_ALLOWED) from gone


def list_export_sweep() -> dict[str, int]:
    """Every minute: queue exports again that have made no progress lately."""
    return {"exports": queue_stalled(Export.What.LIST, queue_slice)}


def as_seen_by(user: User) -> ExitStack:
    """The user's language and time zone, as on the pages."""
    stack = ExitStack()
    chosen = language_of(user)
    language = chosen if chosen in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
    stack.enter_context(translation.override(language))
    stack.enter_context(timezone.override(zone_of(user)))
    return stack
