"""The list of attachments as CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.utils import timezone

HEAD = ("direction", "name", "type", "size", "account", "from", "to", "subject", "mail", "at")


def lines_of(rows: Iterable[Any]) -> Iterator[list[object]]:
    """The lines below HEAD, of files as attachment_selection.find() returns them. Times are in ISO 8601.

    As on the page, a received file is to the account: lists do not read a message's recipients.
    """
    for row in rows:
        at = timezone.localtime(row.at).isoformat(timespec="seconds")
        file = [row.filename, row.content_type, row.size]
        if row.is_received:
            mail = row.message
            yield ["received", *file, mail.account.email, mail.sender, mail.account.email, mail.subject, mail.pk, at]
        else:
            mail = row.outbox
            yield ["sent", *file, mail.account.email, mail.mail_from, mail.to, mail.subject, mail.pk, at]
