"""Saves a frozen mail as rows: outbox, recipients, attachments, the planned copy for Sent, and the activity's entry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.contrib.auth.models import User

from mailbox import logs
from mailbox.db import bulk_insert, shared_commit
from mailbox.models import Account, AuditEntry, Message
from mailbox.storage import raw_store
from mailbox.storage.raw_store import StoredRaw
from outbox.compose.build import FrozenMessage
from outbox.compose.send_time import SendTimes
from outbox.models import OutboxAttachment, OutboxMessage, OutboxRecipient, SentCopy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredFile:
    """An attachment of a frozen mail. `size` (bytes) and `digest` (SHA-256, hex) are of its decoded bytes."""

    filename: str
    content_type: str
    size: int
    digest: str


@dataclass(frozen=True)
class NewRow:
    """The values of a new outbox row. `files` are in the order of their positions in the MIME."""

    frozen: FrozenMessage
    digest: str  # SHA-256 of the frozen mail, which is durable in the raw store already
    times: SendTimes
    files: Sequence[StoredFile] = ()
    parent: Message | None = None
    user: User | None = None
    failure_mode: str = ""
    idempotency_key: str | None = None
    request_digest: str | None = None
    private_part: str = ""  # see outbox.compose.private_part
    detail: str = ""  # of its entry in the activity, for instance the program that submitted it
    unindexed: Sequence[StoredRaw] = ()  # from raw_store.save_batch of the frozen mail
    also_noted: AuditEntry | None = None  # a second entry of the activity, saved with the row


Writer = Callable[[Callable[[], int]], int]  # calls its argument in a transaction; commits it before it returns


def write_down(account: Account, new: NewRow, now: datetime, write: Writer = shared_commit.write) -> int:
    """insert() and commit the row; returns its pk. Stores the mail's bytes again if a sweep removed them meanwhile."""
    pk = write(partial(insert, account, new, now))
    if not raw_store.has_file(new.unindexed):
        raw_store.save_batch([new.frozen.mime], now=now, prove=True)
    logs.event(logger, "mail_queued", account=account.pk, outbox_id=pk, message_id=new.frozen.message_id)
    return pk


def insert(account: Account, new: NewRow, now: datetime) -> int:
    """Insert the rows, in the caller's transaction, and return the outbox row's pk.

    Raises IntegrityError if the idempotency key is taken.
    """
    if new.also_noted:  # it has a pk if the same was rolled back before
        new.also_noted.pk = None
    frozen, row = new.frozen, _row(account, new)
    raw_store.reference([new.digest], now, new.unindexed)
    bulk_insert.insert([row])
    bulk_insert.insert(
        [
            OutboxRecipient(outbox=row, kind=kind, address=spec, dsn_parameters=frozen.dsn_parameters_of.get(spec, ""))
            for kind, spec in frozen.recipients
        ]
    )
    bulk_insert.insert(_attachment_rows(row, new.files))
    if account.wants_sent_copy():  # in the row's transaction, so that a crash cannot lose it
        SentCopy.objects.create(outbox=row, next_try_at=now)
    _note(account, row, new, now)
    return row.pk


def _row(account: Account, new: NewRow) -> OutboxMessage:
    frozen, user_id = new.frozen, new.user.pk if new.user else None
    row = bulk_insert.blank(OutboxMessage)
    vars(row).update(
        account_id=account.pk,
        to=frozen.to,
        cc=frozen.cc,
        bcc=frozen.bcc,
        subject=frozen.subject,
        body_text=frozen.body_text,
        body_html=frozen.body_html,
        in_reply_to=frozen.threading.in_reply_to,
        references_header=frozen.threading.references,
        parent_id=new.parent.pk if new.parent else None,
        mail_from=frozen.mail_from,
        header_from=frozen.header_from,
        mime_digest=new.digest,
        mime_size=len(frozen.mime),
        message_id=frozen.message_id,
        needs_smtputf8=frozen.needs_smtputf8,
        dsn_parameters=frozen.dsn_parameters,
        next_attempt_at=new.times.next_attempt_at,
        send_at=new.times.send_at,
        undo_until=new.times.undo_until,
        requested_by_id=user_id,
        failure_mode=new.failure_mode,
        idempotency_key=new.idempotency_key,
        request_digest=new.request_digest,
        private_part=new.private_part,
        created_by_id=user_id,
    )
    return row


def _note(account: Account, row: OutboxMessage, new: NewRow, now: datetime) -> None:
    verb, target = "reply" if new.parent else "send", f"outbox:{row.pk}"
    entry = AuditEntry(at=now, user=new.user, account=account, verb=verb, target=target, detail=new.detail)
    bulk_insert.insert([entry, new.also_noted] if new.also_noted else [entry])


def _attachment_rows(row: OutboxMessage, files: Sequence[StoredFile]) -> list[OutboxAttachment]:
    return [
        OutboxAttachment(
            outbox=row,
            account_id=row.account_id,
            created_at=row.created_at,
            position=position,
            filename=file.filename,
            content_type=file.content_type,
            size=file.size,
            digest=file.digest,
        )
        for position, file in enumerate(files)
    ]
