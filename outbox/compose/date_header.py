"""Changes the Date of a frozen mail before its first attempt: spam filters distrust a Date that is days off."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from django.utils import timezone
from django.utils.translation import gettext

from mailbox.errors import StorageError
from mailbox.storage import out_of_reach, raw_store
from outbox.errors import StorageFailed
from outbox.models import OutboxMessage

_DATE = b"Date: "  # compose writes this field first


def reference(digest: str, now: datetime) -> None:
    """raw_store.reference() for the mail that redated() stored, in the transaction that commits the reference.

    Raises StorageFailed.
    """
    try:
        raw_store.reference([digest], now)
    except StorageError as error:
        raise StorageFailed(
            gettext("The mail could not be written anew: %(error)s Try again.") % {"error": error}
        ) from error


def redated(row: OutboxMessage, when: datetime) -> str:
    """Store the mail of a row with `when` as its Date and return its digest (SHA-256, hex). Raises StorageFailed.

    Only for a row without attempts: a retry must send the same bytes.
    """
    try:
        raw = raw_store.open_raw(row.mime_digest)
        if not raw.startswith(_DATE):
            return row.mime_digest
        new = _DATE + format_datetime(when).encode("ascii") + b"\r\n" + raw.partition(b"\r\n")[2]
        return raw_store.save_batch([new], now=timezone.now(), prove=True)[0]
    except raw_store.RawOutOfReach as error:
        out_of_reach.note(error.segment)
        raise StorageFailed(
            gettext("The stored mail is out of reach on this host: try again in a moment. Nothing was changed.")
        ) from error
    except (raw_store.RawMissing, StorageError) as error:
        raise StorageFailed(
            gettext("The mail could not be written anew: %(error)s Try again.") % {"error": error}
        ) from error
