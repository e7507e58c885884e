"""Asking for an export, and who may have it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from mailbox.exports.selection import Selection
from mailbox.models import AuditEntry, Export, ExportPart
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from mailbox.queueing import queue
from mailbox.storage import raw_store


def begin(selection: Selection, form: str, user: User, key: UUID, now: datetime) -> Export:
    """Have workers make it; the same page sent twice is one export."""
    values = {"form": form, "query": selection.query, "asked_at": now, "moved_at": now}
    with transaction.atomic():
        export, is_new = Export.objects.get_or_create(key=key, user=user, defaults=values)
        if is_new:
            note("export_asked", export, user)
            queue_slice(export.pk)
    return export


def queue_slice(export_id: int) -> None:
    """Go on with it, once the present transaction has committed."""
    queue("mailbox.tasks.export_slice", export_id, group="export")


def note(verb: str, export: Export, user: User | None) -> None:
    """Into the activity. What was searched for stays out of it: it may name a person."""
    AuditEntry.objects.create(user=user, verb=verb, target=f"export:{export.pk}", detail=export.form)


def seen_by(user: User) -> Q:
    """One's own, and those of others for whoever administers all accounts; a person's for these alone."""
    if has_role_everywhere(user, Role.ADMINISTRATOR):
        return Q()
    return Q(user=user, what=Export.What.SEARCH)


def may_read(user: User, export: Export) -> bool:
    """Whether all accounts whose mail is in it are still this person's to read."""
    accounts = set(export.accounts)
    return accounts_for(user).filter(pk__in=accounts).count() == len(accounts)


def pieces(export: Export) -> Iterator[bytes]:
    """The file. Raises RawMissing."""
    parts = ExportPart.objects.filter(export=export).exclude(raw_digest="").order_by("position")
    for digest in list(parts.values_list("raw_digest", flat=True)):
        yield raw_store.map_raw(digest)[0][:]


def remove(export: Export, user: User) -> None:
    """Delete an export before it expires; a worker that is writing it finds its row gone and stops."""
    with transaction.atomic():
        note("export_removed", export, user)
        Export.objects.filter(pk=export.pk).delete()
