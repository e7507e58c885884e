"""Changes the Date of a frozen mail before its first attempt: spam filters distrust a Date that is days off."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from django.utils import timezone

from mailbox.storage import raw_store
from outbox.compose.storage_failures import storage_failures
from outbox.models import OutboxMessage

_DATE = b"Date: "  # compose writes this field first


def reference(digest: str, now: datetime) -> None:
    """raw_store.reference() for the mail that redated() stored, in the transaction that commits the reference.

    Raises StorageFailed.
    """
    with storage_failures():
        raw_store.reference([digest], now)


def redated(row: OutboxMessage, when: datetime) -> str:
    """Store the mail of a row with `when` as its Date and return its digest (SHA-256, hex). Raises StorageFailed.

    Only for a row without attempts: a retry must send the same bytes.
    """
    with storage_failures():
        raw = raw_store.open_raw(row.mime_digest)
        if not raw.startswith(_DATE):
            return row.mime_digest
        new = _DATE + format_datetime(when).encode("ascii") + b"\r\n" + raw.partition(b"\r\n")[2]
        return raw_store.save_batch([new], now=timezone.now(), prove=True)[0]
