"""Rows that pages are tested with: real messages in the raw store, outbox rows in any state."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData, CollectedClientData

from mailbox import deletions
from mailbox.messages import conversations
from mailbox.mime import message as mime_message
from mailbox.models import (
    Account,
    Attachment,
    DeletionLook,
    Folder,
    Message,
    MessagePlace,
    WorkerHeartbeat,
    installation_health,
)
from mailbox.storage import raw_store
from outbox.models import DeliveryAttempt, OutboxAttachment, OutboxMessage, OutboxRecipient

# No server is asked by a page: an address nobody listens on will do.
NOWHERE = {"imap_host": "localhost", "imap_port": 1, "smtp_host": "localhost", "smtp_port": 1}
_numbers = itertools.count(1)


def letter(subject: str = "Hello", text: str = "Dear Bob", html: str = "", **headers: str) -> bytes:
    """A message as bytes; `headers` as From="...", Message_ID="..."."""
    mail = EmailMessage()
    given = {"From": "Ann <ann@example.com>", "To": "bob@example.com", "Message_ID": f"<{next(_numbers)}@example.com>"}
    for name, value in (given | headers).items():
        mail[name.replace("_", "-")] = value
    mail["Subject"] = subject
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    return mail.as_bytes()


def letter_with(content: bytes, filename: str, content_type: str = "application/pdf") -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ann@example.com", "bob@example.com", "With a file"
    mail["Message-ID"] = f"<{next(_numbers)}@example.com>"
    mail.set_content("See the file.")
    maintype, subtype = content_type.split("/")
    mail.add_attachment(content, maintype=maintype, subtype=subtype, filename=filename)
    return mail.as_bytes()


def folder_of(account: Account, name: str = "INBOX") -> Folder:
    return Folder.objects.get_or_create(account=account, name=name, defaults={"sync_enabled": True})[0]


def store(account: Account, raw: bytes, *, folder: str = "INBOX", at: datetime | None = None, **fields: Any) -> Message:
    """The rows that sync makes of a message, in one place."""
    parsed, at = mime_message.parse(raw), at or timezone.now()
    digest = raw_store.save_batch([raw])[0]
    same = Message.objects.filter(account=account, message_id=parsed.message_id)
    columns: tuple[str, ...] = (
        "message_id",
        "subject",
        "sender",
        "sender_address",
        "recipients",
        "cc",
        "bcc",
        "reply_to",
    )
    columns += ("in_reply_to", "references_header", "date", "body_text", "body_html", "snippet")
    values: dict[str, Any] = {name: getattr(parsed, name) for name in columns}
    values |= {"variant": same.count(), "received_at": at, "size": len(raw), "raw_digest": digest}
    values |= {"attachments": [dict(vars(each)) for each in parsed.attachments]}
    values |= {"has_attachments": any(not each.is_inline for each in parsed.attachments)}
    message = Message.objects.create(account=account, **(values | fields))
    conversations.link([message], {message.pk: parsed.thread_index})
    MessagePlace.objects.create(
        message=message,
        folder=folder_of(account, folder),
        uidvalidity=1,
        uid=next(_numbers),
        size=len(raw),
        received_at=at,
        raw_digest=digest,
        header_digest=digest,
        seen=message.seen,
        is_complete=message.is_complete,
    )
    for each in parsed.attachments:
        names = ("position", "filename", "content_type", "size", "content_id", "is_inline", "digest")
        values = {name: getattr(each, name) for name in names}
        Attachment.objects.create(message=message, account=account, received_at=at, **values)
    return message


def outbox_row(account: Account, subject: str = "Invoice", raw: bytes | None = None, **fields: Any) -> OutboxMessage:
    """A row in any state with one recipient; `raw` is its frozen mail, whose attachments get their rows."""
    frozen = raw or letter(subject)
    defaults: dict[str, Any] = {
        "to": "Ann <ann@example.com>",
        "body_text": "Dear Ann",
        "mail_from": account.email,
        "mime_digest": raw_store.save_batch([frozen])[0],
        "mime_size": len(frozen),
    }
    if fields.get("status") == "sending":
        defaults |= {"claim_token": "t", "lease_expires_at": timezone.now() + timedelta(minutes=5)}
    row = OutboxMessage.objects.create(account=account, subject=subject, **(defaults | fields))
    OutboxRecipient.objects.create(outbox=row, kind="to", address="ann@example.com")
    for each in mime_message.parse(frozen).attachments:
        values = {name: getattr(each, name) for name in ("position", "filename", "content_type", "size", "digest")}
        OutboxAttachment.objects.create(outbox=row, account=account, created_at=row.created_at, **values)
    return row


def attempt(row: OutboxMessage, **fields: Any) -> DeliveryAttempt:
    number = row.attempts.count() + 1
    defaults: dict[str, Any] = {
        "number": number,
        "claim_token": f"{row.pk}-{number}",
        "worker": "web1/3",
        "message_id": f"<outbox-{row.pk}-{row.retries}@example.com>",
        "prx_attempt": "abc",
        "started_at": timezone.now(),
    }
    made = DeliveryAttempt.objects.create(outbox=row, **(defaults | fields))
    row.last_attempt = made.number
    OutboxMessage.objects.filter(pk=row.pk).update(last_attempt=made.number)
    return made


def looked_yesterday() -> None:
    """What is removed because of its age is removed at the second look: the first was a day ago."""
    yesterday = timezone.now() - timedelta(days=1)
    for name in deletions.BY_AGE:
        DeletionLook.objects.update_or_create(name=name, defaults={"host_at": yesterday, "database_at": yesterday})


def newest_attempt(pk: int) -> int:
    """Its number, as a page that is shown now would bear it."""
    return OutboxMessage.objects.values_list("last_attempt", flat=True).get(pk=pk)


def tasks_queued() -> list[str]:
    """The functions that workers are asked to run, sorted, with those that wait for the test's transaction."""
    waiting, connection.run_on_commit = connection.run_on_commit, []
    for _, callback, *_ in waiting:
        callback()
    return sorted(row.func() for row in OrmQ.objects.all())


def queries_of(client: Client, url: str, add_rows: Callable[[], object]) -> tuple[int, int]:
    """How many queries the page costs before and after rows were added."""
    counts = []
    for step in range(2):
        if step:
            add_rows()
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        counts.append(len(captured))
    return counts[0], counts[1]


def workers_run() -> None:
    """As pages know it: a heartbeat of a moment ago. Without one they promise no time."""
    now = timezone.now()
    WorkerHeartbeat.objects.create(host="web1", cluster_pid=1, started_at=now, seen_at=now)


def workers_keep_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """As workers_run(), for a test whose clock goes on, or that a slow machine takes minutes for."""
    monkeypatch.setattr(installation_health, "WORKER_SILENT_AFTER", timedelta(days=30))
    workers_run()


def passkey_of(user: User) -> Authenticator:
    """A passkey as a browser would have registered it, whose private key nobody has."""
    public_key = ES256.from_cryptography_key(  # type: ignore[no-untyped-call]
        ec.generate_private_key(ec.SECP256R1()).public_key()
    )
    credential_id = secrets.token_bytes(16)
    data = AuthenticatorData.create(
        hashlib.sha256(b"localhost").digest(),
        AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT,
        0,
        AttestedCredentialData.create(Aaguid.NONE, credential_id, public_key),
    )
    made = CollectedClientData.create("webauthn.create", b"challenge", "http://localhost")
    response = {
        "clientDataJSON": websafe_encode(made),
        "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
    }
    credential: dict[str, Any] = {
        "id": websafe_encode(credential_id),
        "rawId": websafe_encode(credential_id),
        "type": "public-key",
    }
    credential = credential | {"response": response, "clientExtensionResults": {}}
    return Authenticator.objects.create(user=user, type="webauthn", data={"name": "Laptop", "credential": credential})
