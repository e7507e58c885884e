"""SMTP submission: a program hands over mail by standard clients, and 250 means that the mail will go out, once."""

from __future__ import annotations

import base64
import functools
import shutil
import smtplib
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone

from api import tokens
from api.models import Scope
from api.submission import acceptance
from mailbox.errors import StorageError
from mailbox.models import Account, AccountAlias, AuditEntry
from mailbox.storage import raw_store
from outbox.compose import new_row
from outbox.delivery import deliver
from outbox.models import AttachmentPolicy, OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.api.submitting import HEADER, MAIL, OPS, Submission, frozen, ops, refusal, secret, send, submission, token_of
from tests.rows import NOWHERE
from tests.servers.certificates import Certificates
from tests.servers.smtp import SmtpServer

__all__ = ["ops", "secret", "submission"]
pytestmark = [pytest.mark.wire, pytest.mark.django_db(transaction=True)]


def test_what_is_accepted_is_in_the_outbox_as_it_was_given(submission: Submission, ops: Account, secret: str) -> None:
    taken_out = b"Bcc: eve@example.com\r\nX-PRX-Attempt: 1\r\n"
    content = HEADER + taken_out + b"x-own:  1\r\n\r\n.dot\r\n\xc3\xa9\r\n"
    with submission.connect(secret) as client:
        assert client.sendmail(OPS, ["ann@example.com", "eve@example.com"], content, ["BODY=8BITMIME"]) == {}
    row = OutboxMessage.objects.get()
    added, given = frozen(row).split(b"\r\n", 1)
    assert added.startswith(b"Date: ")
    assert given == content.replace(taken_out, b"")
    assert [(each.kind, each.address) for each in row.recipients.order_by("pk")] == [
        ("to", "ann@example.com"),
        ("bcc", "eve@example.com"),
    ]
    assert (row.subject, row.mail_from, row.message_id, row.account) == ("Hi", OPS, "<1@app.example.com>", ops)
    entry = AuditEntry.objects.get(verb="send", target=f"outbox:{row.pk}")
    assert entry.user == row.created_by
    assert entry.detail.startswith("billing (token ")


def test_a_program_sends_from_a_further_address_of_the_account(
    submission: Submission, ops: Account, secret: str
) -> None:
    AccountAlias.objects.create(account=ops, email="sales@example.com")
    content = MAIL.replace(b"Ops <ops@example.com>", b"Sales <sales@example.com>")
    with submission.connect(secret) as client:
        assert client.sendmail("Sales@Example.com", ["ann@example.com"], content) == {}
        assert client.docmd("MAIL FROM:<eve@example.com>")[0] == 550
    row = OutboxMessage.objects.get()
    assert (row.account, row.mail_from, row.header_from) == (ops, OPS, "Sales <sales@example.com>")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_tls_may_begin_with_the_connection(submission: Submission, ops: Account, secret: str, mechanism: str) -> None:
    with smtplib.SMTP_SSL("localhost", submission.tls, context=submission.context) as client:
        client.ehlo()
        offered = set(client.esmtp_features)
        assert offered >= {"size", "8bitmime", "smtputf8", "pipelining", "auth"}
        assert "starttls" not in offered
        client.user, client.password = OPS, secret
        client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
        assert send(client).startswith("250 2.0.0")


def test_nothing_is_taken_before_tls_and_sign_in(submission: Submission, ops: Account, secret: str) -> None:
    with smtplib.SMTP("localhost", submission.starttls) as client:
        client.ehlo()
        assert "auth" not in client.esmtp_features
        plain = base64.b64encode(f"\0{OPS}\0{secret}".encode()).decode()
        assert client.docmd(f"AUTH PLAIN {plain}")[0] == 530
        assert client.docmd(f"MAIL FROM:<{OPS}>")[0] == 530
    with submission.connect() as client:
        assert send(client).startswith("530 5.7.0")
    assert not OutboxMessage.objects.exists()


def test_a_token_opens_only_what_it_says(
    submission: Submission, ops: Account, make_account: Callable[..., Account], make_user: Callable[..., User]
) -> None:
    user, sales = make_user("operator"), make_account("sales@example.com", **NOWHERE)
    reader = token_of(user, scopes=[Scope.READ])
    of_sales = token_of(user, accounts=[sales])
    elsewhere = token_of(user, networks=["192.0.2.0/24"])
    ended = token_of(user, expires_at=timezone.now() - timedelta(seconds=1))
    for useless in (reader, of_sales, elsewhere, ended, "prx_wrong"):
        client = submission.connect()
        assert refusal(functools.partial(client.login, OPS, useless)).startswith("535 5.7.8")
        client.close()
    with submission.connect(of_sales, "Sales@example.com") as client:
        assert send(client).startswith("550 5.7.1")


def test_a_token_that_ends_takes_no_further_mail_and_its_rate_counts_mails(
    submission: Submission, ops: Account, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(acceptance.timezone, "now", lambda: now)
    user = make_user("operator")
    with submission.connect(token_of(user, per_minute=2)) as client:
        assert send(client).startswith("250")
        assert send(client) == "451 4.7.1 More than 2 requests in this minute."
    secret = token_of(user)
    with submission.connect(secret) as client:
        row = tokens.of_secret(secret)
        assert row is not None
        tokens.end(row, by=user)
        assert send(client).startswith("550 5.7.1")


@pytest.mark.parametrize(
    "change, words",
    [
        (
            (b"From: Ops <ops@example.com>", b"From: Eve <eve@example.com>"),
            "of this account, and no other: ops@example.com",
        ),
        ((b"From: Ops <ops@example.com>", b"From: ops@example.com, eve@example.com"), "From must be"),
        ((b"From: Ops <ops@example.com>", b"From: ops@example.com\r\nfrom : eve@example.com"), "stands twice"),
        ((b"From: Ops <ops@example.com>\r\n", b""), "From must be"),
        ((b"To:", b"Sender: eve@example.com\r\nTo:"), "Sender must be"),
        ((b"Subject: Hi", b"no field"), "malformed"),
        ((b"<1@app.example.com>", b"<1 2@app.example.com>"), "Message-ID is malformed"),
        ((b"Dear", b"\0Dear"), "NUL"),
    ],
)
def test_what_is_not_the_accounts_or_malformed_is_refused_with_words(
    submission: Submission, ops: Account, secret: str, change: tuple[bytes, bytes], words: str
) -> None:
    with submission.connect(secret) as client:
        reply = send(client, MAIL.replace(*change))
        assert reply.startswith("550 5.7.1"), reply
        assert words in reply
        assert send(client).startswith("250")  # the session goes on
    assert OutboxMessage.objects.count() == 1


def test_the_policy_of_attachments_holds(submission: Submission, ops: Account, secret: str) -> None:
    AttachmentPolicy.objects.update_or_create(
        pk=1, defaults={"max_size_bytes": 10, "allowed_content_types": ["text/csv"]}
    )
    part = b"MIME-Version: 1.0\r\nContent-Type: %b\r\nContent-Disposition: attachment; filename=a\r\n\r\n%b\r\n"
    with submission.connect(secret) as client:
        assert "type is not allowed: image/png" in send(client, HEADER + part % (b"image/png", b"x"))
        assert "exceeds size limit" in send(client, HEADER + part % (b"text/csv", b"x" * 11))
        assert send(client, HEADER + part % (b"text/csv", b"x,y")).startswith("250")
    attached = OutboxMessage.objects.get().attachment_rows.get()
    assert (attached.filename, attached.content_type) == ("a", "text/csv")


def test_a_mail_that_is_sent_again_is_the_same_mail(submission: Submission, ops: Account, secret: str) -> None:
    with submission.connect(secret) as client:
        first = send(client)
        assert first.startswith("250")
        assert send(client) == first
        assert "used before, for another mail" in send(client, MAIL.replace(b"Dear", b"Poor"))
    assert OutboxMessage.objects.count() == 1
    OutboxMessage.objects.update(status="cancelled")
    with submission.connect(secret) as client:
        assert "was cancelled by a person" in send(client)


def test_recipients_of_one_message_id_in_several_transactions_get_it_once_each(
    submission: Submission, ops: Account, secret: str
) -> None:
    with submission.connect(secret) as client:
        assert send(client, to=("ann@example.com", "bob@example.com")).startswith("250")
        assert send(client, to=("bob@example.com", "cay@example.com")).startswith("250")
        assert send(client, to=("cay@example.com", "ann@example.com")).startswith("250")
    rows = OutboxMessage.objects.order_by("pk")
    assert [[each.address for each in row.recipients.order_by("pk")] for row in rows] == [
        ["ann@example.com", "bob@example.com"],
        ["cay@example.com"],
    ]


def test_when_retention_removed_the_first_row_of_a_message_id_the_next_one_finds_a_free_key(
    submission: Submission, ops: Account, secret: str
) -> None:
    with submission.connect(secret) as client:
        for address in ("ann@example.com", "bob@example.com"):
            assert send(client, to=(address,)).startswith("250")
        first = OutboxMessage.objects.order_by("pk")[0]
        first.delete()
        assert send(client, to=("bob@example.com", "cay@example.com")).startswith("250")
        assert send(client, to=("dan@example.com",)).startswith("250")
    keys = OutboxMessage.objects.order_by("pk").values_list("idempotency_key", flat=True)
    assert [key[-2:] for key in keys if key] == [":1", ":0", ":2"]


def test_a_database_or_store_that_is_away_is_a_reason_to_wait_and_no_answer_about_the_mail(
    submission: Submission, ops: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> Callable[..., Any]:
        def failing(*_args: object, **_options: object) -> None:
            raise error

        return failing

    with submission.connect(secret) as client:
        for target, name, error in (
            (raw_store, "save_batch", StorageError("no room")),
            (acceptance.tokens, "authenticate", OperationalError("gone")),
            (new_row, "insert", OperationalError("gone from 10.1.2.3")),
            (new_row, "insert", RuntimeError("a fault of ours")),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(target, name, fail(error))
                answer = send(client)
                assert answer.startswith("451 4.3.0") and "10.1.2.3" not in answer
        assert not OutboxMessage.objects.exists()
        monkeypatch.setattr(delivery_tasks, "queue_delivery", fail(OperationalError("gone")))
        assert send(client).startswith("250")  # it is durable: the sweep finds it
    assert OutboxMessage.objects.count() == 1


def test_commands_may_come_together(submission: Submission, ops: Account, secret: str) -> None:
    with submission.connect(secret) as client:
        client.send(f"MAIL FROM:<{OPS}>\r\nRCPT TO:<ann@example.com>\r\nRCPT TO:<nobody>\r\nDATA\r\n")
        assert [client.getreply()[0] for _ in range(4)] == [250, 250, 553, 354]
        client.send(MAIL + b".\r\nRSET\r\nNOOP\r\n")
        assert [client.getreply()[0] for _ in range(3)] == [250, 250, 250]


@pytest.mark.parametrize(
    "path, code",
    [
        (f"<{OPS}>", 250),
        (f"<{OPS}> BODY=8BITMIME SIZE=100", 250),
        (OPS, 250),  # as many programs write it
        (f" <@relay.example,@other.example:{OPS}>", 250),  # a route (RFC 5321, appendix C)
        ("<>", 550),
        ('<"a>b"@example.com>', 550),  # well-formed, and not the account's
        (f"<{OPS}", 553),
        (f"<{OPS}>> SIZE=1", 553),
        ('<"ops@example.com>', 553),
    ],
)
def test_the_path_of_mail_from_is_read_as_smtp_writes_it(
    submission: Submission, ops: Account, secret: str, path: str, code: int
) -> None:
    with submission.connect(secret) as client:
        assert client.docmd(f"MAIL FROM:{path}")[0] == code
        client.docmd("RSET")
        client.docmd(f"MAIL FROM:<{OPS}>")
        assert client.docmd('RCPT TO:<"a b>c"@example.com>')[0] == 250


def test_an_address_beyond_ascii_needs_smtputf8(submission: Submission, ops: Account, secret: str) -> None:
    with submission.connect(secret) as client:
        client.command_encoding = "utf-8"
        client.docmd(f"MAIL FROM:<{OPS}>")
        assert client.docmd("RCPT TO:<jörg@example.com>")[0] == 553
        client.docmd("RSET")
        client.docmd(f"MAIL FROM:<{OPS}> SMTPUTF8")
        assert client.docmd("RCPT TO:<jörg@example.com>")[0] == 250
        assert client.data(MAIL)[0] == 250
    assert OutboxMessage.objects.get().needs_smtputf8


def test_what_was_submitted_goes_out_with_its_own_message_id(
    submission: Submission, account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer], secret: str
) -> None:
    sink = smtp_server("tls")
    account = account_on(sink, email=OPS)
    with submission.connect(secret) as client:
        send(client)
        send(client, MAIL.replace(b"Message-ID: <1@app.example.com>\r\n", b""))
    deliver.deliver_account(account.pk)
    own, made = (mail.raw for mail in sink.mails())
    assert own.lower().count(b"message-id:") == made.lower().count(b"message-id:") == 1
    assert own.startswith(b"X-PRX-Attempt: ")
    rows = OutboxMessage.objects.order_by("pk")
    made_id = f"<outbox-{rows[1].pk}-0@prx-email.local>"
    assert [row.provider_message_id for row in rows] == ["<1@app.example.com>", made_id]


def test_curl_sends_by_it(
    submission: Submission, certificates: Certificates, ops: Account, secret: str, tmp_path: Path
) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("There is no curl.")
    (tmp_path / "ca.pem").write_text(certificates.ca_pem)
    (tmp_path / "mail").write_bytes(MAIL)
    common = ["-sS", "--cacert", tmp_path / "ca.pem", "--user", f"{OPS}:{secret}", "--mail-from", OPS]
    common += ["--mail-rcpt", "ann@example.com", "--upload-file", tmp_path / "mail"]
    for address in (["--ssl-reqd", f"smtp://localhost:{submission.starttls}"], [f"smtps://localhost:{submission.tls}"]):
        done = subprocess.run([curl, *common, *address], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert OutboxMessage.objects.count() == 1
