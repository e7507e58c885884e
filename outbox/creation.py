"""A request -> one row of the outbox with its frozen mail. Whoever delivers it comes later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from mailbox import mime, rawstore
from mailbox.errors import StorageError
from mailbox.models import Account, AuditEntry, Message

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, IntegrityError, transaction

from outbox import compose
from outbox.addresses import Address, checked_spec
from outbox.compose import Frozen, Parent, Request, Threading
from outbox.errors import FeatureDisabled, StorageFailed, ValidationFailed
from outbox.models import AttachmentPolicy, OutboxAttachment, OutboxMessage, OutboxRecipient
from outbox.policy import AttachmentContent, AttachmentInput, Store, read_attachments

FAILURE_MODES = ("network", "provider")


@dataclass(frozen=True)
class Wanted:
    """Everything one call of send, reply or queue asks for."""

    request: Request
    attachments: Sequence[AttachmentInput] = ()
    failure_mode: str | None = None
    idempotency_key: str | None = None
    in_reply_to_message_id: str | None = None
    parent_pk: int | None = None
    user: User | None = None


def create(account_id: int, wanted: Wanted, *, now: datetime) -> int:
    """Write the row down, once per idempotency key, and return its pk; raises OutboxError."""
    account = checked_account(account_id)
    check_drill(wanted.failure_mode, wanted.user)
    key = _checked_key(wanted.idempotency_key)
    if key and (known := _row_of_key(account, key)):
        return known
    parent = _find_parent(account, wanted)
    request, threading = _answering(wanted.request, parent)
    files = read_attachments(wanted.attachments, AttachmentPolicy.current(), _store())
    sender = Address(account.display_name, checked_spec("The account", account.email))
    frozen = compose.freeze(request, sender, files, now=now, threading=threading)
    try:
        digest = rawstore.save_batch([frozen.mime], now=now)[0]  # durable before the row that refers to it
        return _insert(account, wanted, frozen, digest, parent, files, now)
    except IntegrityError:
        if key and (known := _row_of_key(account, key)):  # the same key at the same instant: the other one won
            return known
        raise
    except (StorageError, DatabaseError) as error:
        raise StorageFailed(f"The mail could not be stored and was not sent: {error} Try again.") from error


def checked_account(account_id: int) -> Account:
    """The account, if it may send; raises ValidationFailed or FeatureDisabled."""
    account = Account.objects.with_transports().filter(pk=account_id).first()
    if account is None:
        raise ValidationFailed(f"There is no account {account_id}: add it first, or give another.")
    if not account.send_enabled:
        raise FeatureDisabled(f"Sending is switched off for {account.email}: switch it on in the account's settings.")
    return account


def check_drill(failure_mode: str | None, user: User | None) -> None:
    """Raise ValidationFailed unless this drill exists and this user (None: the command line) may ask for it."""
    if not failure_mode:
        return
    if failure_mode not in FAILURE_MODES:
        raise ValidationFailed(f"failure_mode is network or provider, not {failure_mode!r}.")
    if user is not None and not user.is_staff:
        raise ValidationFailed("Only staff may ask for a drill: leave failure_mode out.")


def _checked_key(key: str | None) -> str | None:
    if key is not None and (not 0 < len(key) <= 200 or "\x00" in key):
        raise ValidationFailed("An idempotency key has 1 to 200 characters.")
    return key


def _row_of_key(account: Account, key: str) -> int | None:
    return OutboxMessage.objects.filter(account=account, idempotency_key=key).values_list("pk", flat=True).first()


def _store() -> Store:
    return Store(settings.ATTACHMENT_STORE_ENABLED, settings.ATTACHMENT_STORE_DIR)


def _find_parent(account: Account, wanted: Wanted) -> Message | None:
    message_id = wanted.in_reply_to_message_id
    if wanted.parent_pk is not None:
        found = Message.objects.filter(account=account, pk=wanted.parent_pk).first()
    elif message_id is None:
        return None
    elif not message_id.strip() or "\x00" in message_id:
        raise ValidationFailed("Give the Message-ID of the message to answer.")
    else:
        found = Message.objects.with_message_id(account.pk, message_id).first()
    if found is None:
        raise ValidationFailed(
            f"{account.email} has no message {message_id or wanted.parent_pk}: sync, then try again."
        )
    return found


def _answering(request: Request, message: Message | None) -> tuple[Request, Threading]:
    """Fill in what an answer takes from its parent, where the request leaves it open."""
    if message is None:
        return request, Threading()
    parent = Parent(
        message_id=message.message_id,
        subject=message.subject,
        sender=message.sender,
        sender_address=message.sender_address,
        reply_to=message.reply_to,
        references_header=message.references_header,
        in_reply_to=message.in_reply_to,
    )
    to = request.to or compose.reply_recipients(parent)
    return replace(request, to=to, subject=request.subject or compose.reply_subject(parent.subject)), (
        compose.reply_threading(parent)
    )


@transaction.atomic
def _insert(
    account: Account,
    wanted: Wanted,
    frozen: Frozen,
    digest: str,
    parent: Message | None,
    files: Sequence[AttachmentContent],
    now: datetime,
) -> int:
    row = OutboxMessage.objects.create(
        account=account,
        to=frozen.to,
        cc=frozen.cc,
        bcc=frozen.bcc,
        subject=frozen.subject,
        body_text=frozen.body_text,
        body_html=frozen.body_html,
        in_reply_to=frozen.threading.in_reply_to,
        references_header=frozen.threading.references,
        parent=parent,
        mail_from=frozen.mail_from,
        mime_digest=digest,
        mime_size=len(frozen.mime),
        needs_smtputf8=frozen.needs_smtputf8,
        next_attempt_at=now,
        requested_by=wanted.user,
        failure_mode=wanted.failure_mode or "",
        idempotency_key=wanted.idempotency_key,
        created_by=wanted.user,
    )
    OutboxRecipient.objects.bulk_create(
        [OutboxRecipient(outbox=row, kind=kind, address=spec) for kind, spec in frozen.recipients]
    )
    OutboxAttachment.objects.bulk_create(_attachment_rows(row, files))
    verb = "reply" if parent else "send"
    AuditEntry.objects.create(at=now, user=wanted.user, account=account, verb=verb, target=f"outbox:{row.pk}")
    return row.pk


def _attachment_rows(row: OutboxMessage, files: Sequence[AttachmentContent]) -> list[OutboxAttachment]:
    return [
        OutboxAttachment(
            outbox=row,
            position=position,
            filename=file.filename,
            content_type=file.content_type,
            size=len(file.content),
            digest=rawstore.digest_of(file.content),
        )
        for position, file in enumerate(files)
    ]


def attachment_bytes(attachment: OutboxAttachment) -> bytes:
    """The bytes of an outgoing attachment, cut from the frozen mail; raises rawstore.RawMissing or IndexError."""
    return mime.attachment_bytes(rawstore.open_raw(attachment.outbox.mime_digest), attachment.position)
