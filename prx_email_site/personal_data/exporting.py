"""The export of a person's data as a zip: their mail byte for byte, and the rows of all tables as JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from mailbox.exports.mails import PAGE, Cursor, ExportedMail, of_messages
from mailbox.exports.manifest import line
from mailbox.models import AuditEntry, Export, Message
from mailbox.plain_words import escaped_json
from mailbox.queueing import queue
from outbox.models import OutboxMessage
from prx_email_site.personal_data.address import digest, stands_in
from prx_email_site.personal_data.tables import TABLES, PersonalTable
from prx_email_site.personal_data.walking import candidates, model_of

MAILS = {table.label: table for table in TABLES if table.label in ("mailbox.Message", "outbox.OutboxMessage")}
RECEIVED, SENT = MAILS["mailbox.Message"], MAILS["outbox.OutboxMessage"]
BODIES = ("body_text", "body_html", "attached_text", "attachments", "snippet")  # left out: the mail contains them


def begin(address: str, user: User, key: uuid.UUID, now: datetime) -> Export:
    """Create the export and queue it; the same form sent twice makes one export."""
    values = {"form": Export.Form.ZIP, "what": Export.What.PERSON, "query": address, "asked_at": now, "moved_at": now}
    with transaction.atomic():
        export, is_new = Export.objects.get_or_create(key=key, user=user, defaults=values)
        if is_new:
            said = {"verb": "person_export", "target": f"export:{export.pk}", "detail": digest(address)}
            AuditEntry.objects.create(user=user, **said)
            queue_slice(export.pk)
    return export


def queue_slice(export_id: int) -> None:
    """Queue the next slice of an export."""
    queue("prx_email_site.personal_data.tasks.person_export_slice", export_id, group="export")


@dataclass(frozen=True)
class PersonSource:
    """Received and written mail from or to the address; not mail that only mentions it."""

    address: str

    def count(self) -> int:
        """The number of mails; it reads the rows of both tables that may match."""
        return sum(1 for table in (RECEIVED, SENT) for _ in rows_of(table, self.address))

    def page(self, after: Cursor) -> tuple[list[ExportedMail], list[Cursor]]:
        """The mails after this cursor, and the cursor after each of them; ([], []) at the end."""
        place, key = after or ["received", None]
        if place == "end":
            return [], []
        table, following = (RECEIVED, ["sent", None]) if place == "received" else (SENT, ["end", None])
        keys, reached, is_last = candidates(table, self.address, key)
        rows = _theirs(table, keys[:PAGE], self.address)
        if len(keys) > PAGE:
            reached, is_last = keys[PAGE - 1], False
        cursors: list[Cursor] = [[place, row.pk] for row in rows]
        cursors[-1:] = [following if is_last else [place, reached]]
        if table is RECEIVED:
            return of_messages(rows), cursors
        return [_of_outbox(row) for row in rows], cursors

    def files(self) -> Sequence[tuple[str, bytes]]:
        """The file of the rows of all tables, without the bodies that the mails contain."""
        tables = {table.label: [_dumped(table, row) for row in rows_of(table, self.address)] for table in TABLES}
        said = {"address": self.address, "tables": {label: rows for label, rows in tables.items() if rows}}
        return [("person.json", escaped_json(json.dumps(said, ensure_ascii=False, indent=1, default=str)).encode())]


def rows_of(table: PersonalTable, address: str) -> Iterator[Any]:
    """The rows of a table with the address in `columns`."""
    after, is_last = None, False
    while not is_last:
        keys, after, is_last = candidates(table, address, after)
        yield from _theirs(table, keys, address)


def _theirs(table: PersonalTable, keys: Sequence[Any], address: str) -> list[Any]:
    rows = model_of(table)._base_manager.filter(pk__in=keys).order_by("pk")
    if table.label in MAILS:
        rows = rows.select_related("account")
    return [row for row in rows if any(stands_in(address, getattr(row, name)) for name in table.columns)]


def _dumped(table: PersonalTable, row: Message | OutboxMessage | Any) -> dict[str, Any]:
    names = [name for name in (*table.columns, *table.mentions) if name not in BODIES]
    return {"key": row.pk} | {name: getattr(row, name) for name in names}


def _of_outbox(row: OutboxMessage) -> ExportedMail:
    said = line(
        account=row.account.email,
        message_id=row.provider_message_id or row.message_id,
        sha256=row.mime_digest,
        size=row.mime_size,
        internal_date=row.created_at.isoformat(),
        complete=True,
    )
    name = f"outbox/{row.pk}.eml"
    return ExportedMail(name, row.mime_digest, row.mime_size, row.mail_from, row.created_at, row.account_id, [said])
