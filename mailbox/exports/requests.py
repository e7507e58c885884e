"""Starts, lists, reads and deletes exports, and checks who may do so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.http import QueryDict

from mailbox import features
from mailbox.exports.selection import Selection
from mailbox.models import AuditEntry, Export, ExportPart
from mailbox.models.exports import EVERYWHERE
from mailbox.permissions import Role, accounts_for, has_role_everywhere
from mailbox.queueing import queue
from mailbox.storage import raw_store


def begin(selection: Selection, form: str, user: User, key: UUID, now: datetime) -> Export:
    """Create an export and queue its writing. `key`: of the form that was sent; sent twice, it makes one export."""
    values = {"form": form, "query": selection.query, "asked_at": now, "moved_at": now}
    with transaction.atomic():
        export, is_new = Export.objects.get_or_create(key=key, user=user, defaults=values)
        if is_new:
            note("export_asked", export, user)
            queue_slice(export.pk)
    return export


def queue_slice(export_id: int) -> None:
    """Queue the task that goes on with the export, once the current transaction has committed."""
    queue("mailbox.tasks.export_slice", export_id, group="export")


def note(verb: str, export: Export, user: User | None) -> None:
    """Write an audit entry. It does not contain the search query, which may name a person."""
    AuditEntry.objects.create(user=user, verb=verb, target=f"export:{export.pk}", detail=export.form)


def seen_by(user: User) -> Q:
    """The exports that the user may see: their own exports of searches and lists; all exports for an administrator
    of all accounts, also those of one person's data."""
    if has_role_everywhere(user, Role.ADMINISTRATOR):
        return Q()
    return Q(user=user, what__in=[Export.What.SEARCH, Export.What.LIST])


def may_read(user: User, export: Export) -> bool:
    """Whether the user may still read all accounts whose mail is in the export, and reading is on for them."""
    accounts = set(export.accounts)
    if EVERYWHERE in accounts and not has_role_everywhere(user, Role.ADMINISTRATOR):
        return False
    accounts.discard(EVERYWHERE)
    if _is_of_received_mail(export) and accounts & features.unreadable_to(user):
        return False
    return accounts_for(user).filter(pk__in=accounts).count() == len(accounts)


def _is_of_received_mail(export: Export) -> bool:
    """Not a person's data, which an administrator of all accounts has by law, whatever may be read here."""
    if export.what == Export.What.LIST:
        return QueryDict(export.query).get("list") in ("messages", "attachments")
    return export.what == Export.What.SEARCH


def pieces(export: Export) -> Iterator[bytes]:
    """The bytes of the file, piece by piece. Raises RawMissing."""
    parts = ExportPart.objects.filter(export=export).exclude(raw_digest="").order_by("position")
    for digest in list(parts.values_list("raw_digest", flat=True)):
        yield raw_store.map_raw(digest)[0][:]


def remove(export: Export, user: User) -> None:
    """Delete an export before it expires; a worker that is writing it finds its row gone and stops."""
    with transaction.atomic():
        note("export_removed", export, user)
        Export.objects.filter(pk=export.pk).delete()
