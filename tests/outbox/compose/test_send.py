"""send, reply, queue and retry_outbox against real servers: what the server got is what was asked."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
from collections.abc import Callable

import pytest

from mailbox.models import Account
from outbox import api
from outbox.compose import create as compose_create
from outbox.compose.attachments import AttachmentInput
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_mail_goes_out_over_starttls_through_dovecot(make_account: Callable[..., Account], sink: SmtpServer) -> None:
    account = make_account(display_name="Ann Ödmark")

    response = api.send(account.pk, "Bob <bob@example.test>", "Hello", "A text.\n.\n..dots\n")

    assert response.ok and response.data, response
    assert response.data.status == "sent"
    assert response.data.provider_message_id == f"<outbox-{response.data.outbox_id}-0@prx-email.local>"
    (mail,) = sink.mails()
    message = email.message_from_bytes(mail.submitted, policy=email.policy.default)
    assert mail.mail_from == account.email and mail.rcpt_tos == ["bob@example.test"]
    assert message["Message-ID"] == response.data.provider_message_id
    assert message.get_content().replace("\r\n", "\n") == "A text.\n.\n..dots\n"
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.phase, attempt.outcome) == ("accepted", "accepted")


def test_an_attachment_arrives_byte_for_byte(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls")
    content = bytes(range(256)) * 100
    attachment = AttachmentInput("Übersicht.pdf", "application/pdf", base64=base64.b64encode(content).decode())

    response = api.send(account_on(server).pk, "bob@example.test", "Report", "See the file.", attachment)

    assert response.ok
    (mail,) = server.mails()
    (part,) = email.message_from_bytes(mail.raw, policy=email.policy.default).iter_attachments()
    assert part.get_filename() == "Übersicht.pdf" and part.get_content() == content
    row = OutboxMessage.objects.get()
    assert row.attachment_rows.get().size == len(content)


def test_the_attachment_row_finds_its_bytes_in_the_frozen_mail(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    files = [
        AttachmentInput("a.txt", "text/plain", content=b"a\nb"),
        AttachmentInput("b.pdf", content=bytes(range(256))),
    ]

    response = api.queue(
        account_on(smtp_server("tls")).pk, "b@example.test", "Files", "Two.", attachments=files, body_html="<p>Two.</p>"
    )

    assert response.ok, response
    rows = OutboxMessage.objects.get().attachment_rows.order_by("position")
    assert [compose_create.attachment_bytes(row) for row in rows] == [file.content for file in files]
    for row in rows:
        assert row.digest == hashlib.sha256(compose_create.attachment_bytes(row)).hexdigest()


def test_a_large_mail_arrives_whole(account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]) -> None:
    server = smtp_server("starttls")
    content = bytes(range(256)) * 40_000  # 10 MB

    assert api.send(
        account_on(server).pk, "b@example.test", "Big", "See.", AttachmentInput("a.pdf", content=content)
    ).ok

    (part,) = email.message_from_bytes(server.mails()[0].raw, policy=email.policy.default).iter_attachments()
    assert part.get_content() == content
