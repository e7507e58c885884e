"""Another Date for a frozen mail that nobody tried to send yet: one that is days off is what spam filters look for."""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from django.utils import timezone
from django.utils.translation import gettext

from mailbox.errors import StorageError
from mailbox.storage import out_of_reach, raw_store
from outbox.errors import StorageFailed
from outbox.models import OutboxMessage

_DATE = b"Date: "  # compose writes it first


def reference(digest: str, now: datetime) -> None:
    """As raw_store.reference(), in the transaction that refers to what redated() stored; raises StorageFailed."""
    try:
        raw_store.reference([digest], now)
    except StorageError as error:
        raise StorageFailed(
            gettext("The mail could not be written anew: %(error)s Try again.") % {"error": error}
        ) from error


def redated(row: OutboxMessage, when: datetime) -> str:
    """The digest of the mail with this Date, stored; only for a row without attempts, as a retry sends the same mail.

    Raises StorageFailed.
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
