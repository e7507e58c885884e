"""Removes rows, empties them, or replaces the address in them; within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import JSONField, Model
from django.utils import timezone

from mailbox.mime.addresses import spellings
from mailbox.models import Attachment, LetGo, Message, Preview, Quarantine
from mailbox.storage import raw_store
from outbox.models import OutboxAttachment, OutboxMessage, OutboxRecipient
from prx_email_site.personal_data.address import placeholder, without
from prx_email_site.personal_data.tables import PersonalTable, Way
from prx_email_site.retention.kinds import KINDS, What

# The stored bytes of an emptied mail, so that pages, bounces and checks handle it like any other.
ERASED = {"subject": "(erased)", "body_text": "The content of this mail was erased.", "body_html": "", "error": ""}
TOMBSTONE = "Subject: {subject}\r\n\r\n{body_text}\r\n".format(**ERASED).encode()


def remove(table: PersonalTable, rows: Sequence[Any]) -> None:
    """Delete rows of one table, in the way that its `way` says. `rows` is not empty."""
    pks = [row.pk for row in rows]
    if table.way == Way.RECEIVED:
        _remove_received(pks)
        return
    if table.way == Way.PUT_ASIDE:
        _let_go_of(rows)
    type(rows[0])._default_manager.filter(pk__in=pks).delete()


def _remove_received(pks: list[int]) -> None:
    """Remove received mail as retention does: it is not fetched again and leaves the search index.

    Previews of its attachments are removed at once if no other mail has the same file.
    """
    files = set(Attachment.objects.filter(message__in=pks).values_list("digest", flat=True))
    KINDS[What.RECEIVED].remove(Message.objects.all(), pks)
    files -= set(Attachment.objects.filter(digest__in=files).values_list("digest", flat=True))
    files -= set(OutboxAttachment.objects.filter(digest__in=files).values_list("digest", flat=True))
    Preview.objects.filter(pk__in=files).delete()


def _let_go_of(rows: Sequence[Quarantine]) -> None:
    """Note (LetGo) that quarantined messages are not to be fetched again."""
    gone = [LetGo(folder_id=row.folder_id, uidvalidity=row.uidvalidity, uid=row.uid) for row in rows]
    LetGo.objects.bulk_create(gone, ignore_conflicts=True)


def mask(table: PersonalTable, rows: Sequence[Any], address: str) -> None:
    """Replace the address by its placeholder in the searched columns of the rows."""
    for row in rows:
        changed = _masked(row, (*table.columns, *table.mentions), address)
        type(row)._default_manager.filter(pk=row.pk).update(**changed)


def _masked(row: Model, columns: Sequence[str], address: str) -> dict[str, Any]:
    instead, changed = placeholder(address), {}
    for name in columns:
        value, field = getattr(row, name), row._meta.get_field(name)
        new = without(address, value, instead)
        if new != value:
            most = None if isinstance(field, JSONField) else getattr(field, "max_length", None)
            changed[name] = new[:most] if most else new
    return changed


def store_tombstone() -> None:
    """Have the raw store hold TOMBSTONE: before the transaction of empty(), as it may be slow. Raises StorageError."""
    raw_store.save_batch([TOMBSTONE])


def empty(rows: Sequence[OutboxMessage], address: str, *, with_key: bool) -> None:
    """Remove content, names and the address from mail that was sent or cancelled; after store_tombstone().

    The rows keep status, times, Message-IDs, attempts and the idempotency key, so that a mail is not sent twice.
    with_key: replace the address in the idempotency key too.
    """
    tombstone = raw_store.digest_of(TOMBSTONE)
    raw_store.reference([tombstone], timezone.now())
    instead = placeholder(address)
    for row in rows:
        values: dict[str, Any] = ERASED | {"mime_digest": tombstone, "mime_size": len(TOMBSTONE)}
        values |= _masked(row, ("in_reply_to", "references_header", "provider_message_id", "mail_from"), address)
        values |= {"header_from": "", **_recipients(row, address, instead)}
        if with_key and row.idempotency_key:
            values["idempotency_key"] = without(address, row.idempotency_key, instead)
        OutboxMessage.objects.filter(pk=row.pk).update(**values)
        OutboxAttachment.objects.filter(outbox=row).delete()


def _recipients(row: OutboxMessage, address: str, instead: str) -> dict[str, str]:
    """The values of to, cc and bcc, made of the envelope's addresses without names.

    It also replaces the address in the OutboxRecipient rows, so that no page shows it until their table is reached.
    """
    headers: dict[str, list[str]] = {"to": [], "cc": [], "bcc": []}
    for each in OutboxRecipient.objects.filter(outbox=row).order_by("pk"):
        if each.address.lower() in spellings(address):
            if instead in headers[each.kind] or OutboxRecipient.objects.filter(outbox=row, address=instead).exists():
                each.delete()  # the same address in another case: a mail has the placeholder once
                continue
            each.address = instead
            OutboxRecipient.objects.filter(pk=each.pk).update(address=instead)
        headers[each.kind].append(each.address)
    return {kind: ", ".join(found) for kind, found in headers.items()}
