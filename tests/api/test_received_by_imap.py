"""From a program to the receiver's mail program: by submission, the API and the Django backend, through the outbox,
real workers and a real Dovecot, read by imaplib as it was given, and once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from pytest_django.live_server_helper import LiveServer

from api.models import Scope
from mailbox.models import Account
from mailbox.storage import raw_store
from outbox.compose import build
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.api.submitting import OPS, Submission, submission, token_of
from tests.api.test_real_clients import Programs
from tests.rows import letter_with
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import ROOT, Cluster
from tests.servers.smtp import SinkMail, SmtpServer

sys.path.insert(0, str(ROOT / "clients/python/src"))
from prx_email_client import Client, File, Mail
from prx_email_client.django import EmailBackend

__all__ = ["submission"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
TEXT = "Dear Ann,\n.\n..two dots, and a blank at the end \n\nFrom the start of a line\n"
FILE = bytes(range(256)) * 40


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    """The account sends by Dovecot's own submission, which hands on to the relay."""
    return make_account(OPS)


@pytest.fixture
def ann(dovecot: Dovecot, sink: SmtpServer, mail_user: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A mailbox of the same Dovecot, into which the relay has its delivery agent deliver."""

    def deliver(mail: SinkMail) -> None:
        for user in mail.rcpt_tos:
            dovecot.deliver(user, mail.mail_from, mail.raw)

    monkeypatch.setattr(sink, "deliver", deliver)
    return mail_user


@dataclass(frozen=True)
class Sender:
    """What programs send with."""

    programs: Programs
    submission: Submission
    url: str
    account: Account

    @property
    def secret(self) -> str:
        return self.programs.secret


@pytest.fixture
def sender(
    submission: Submission,
    certificates: Certificates,
    live_server: LiveServer,
    ops: Account,
    make_user: Callable[..., User],
    tmp_path: Path,
) -> Sender:
    secret = token_of(make_user("operator"), scopes=[Scope.SEND])
    return Sender(Programs(submission, certificates, secret, tmp_path), submission, live_server.url, ops)


def whole(to: str) -> bytes:
    raw = letter_with(FILE, "a.pdf").replace(b"ann@example.com", OPS.encode()).replace(b"bob@example.com", to.encode())
    return raw.replace(b"See the file.\n", TEXT.encode()).replace(
        b"Subject:", b"Date: Mon, 30 Nov 2026 08:00:00 +0000\nSubject:"
    )


def by_smtplib(sender: Sender, to: str) -> bytes:
    given = whole(to)
    for _ in range(2):  # as after a lost answer
        with sender.submission.connect(sender.secret) as client:
            client.sendmail(OPS, [to], given.decode())
    return given


def by_msmtp(sender: Sender, to: str) -> bytes:
    given = whole(to)
    port = ["--port", sender.submission.starttls]
    for _ in range(2):
        sender.programs.run("msmtp", "-C", sender.programs.msmtprc(), *port, to, given=given.decode())
    return given


def by_api(sender: Sender, to: str) -> bytes:
    with Client(sender.url, sender.secret) as client:
        for _ in range(2):
            client.send(Mail(sender.account.pk, [to], "With a file", TEXT, attachments=[File("a.pdf", FILE)]), key="k")
    return b""


def by_django(sender: Sender, to: str) -> bytes:
    with Client(sender.url, sender.secret) as client:
        mail = EmailMessage("With a file", TEXT, OPS, [to], connection=EmailBackend(client=client))
        mail.attach("a.pdf", FILE, "application/pdf")
        assert mail.send() == 1
    return b""


@pytest.mark.parametrize("send", [by_smtplib, by_msmtp, by_api, by_django])
def test_the_receiver_reads_by_imap_what_a_program_sent_as_it_was_given_and_once(
    sender: Sender,
    ann: str,
    dovecot: Dovecot,
    workers: Cluster,
    send: Callable[[Sender, str], bytes],
) -> None:
    given = send(sender, ann)
    wait_until(lambda: not OutboxMessage.objects.exclude(status="sent").exists(), seconds=60, what=workers.log())
    row = OutboxMessage.objects.get()
    (received,) = dovecot.messages(ann).values()
    attempt = DeliveryAttempt.objects.get(outbox=row)
    frozen = build.stamped(raw_store.open_raw(row.mime_digest), attempt.message_id, attempt.prx_attempt)
    assert received.endswith(frozen), "servers on the way put their lines before it, and change nothing"
    crlf = given.replace(b"\n", b"\r\n")
    assert received.endswith(crlf), "what the program wrote, byte for byte"
    read = message_from_bytes(received, policy=modern)
    assert read["Message-ID"] == attempt.message_id
    body, (file,) = read.get_body(("plain",)), read.iter_attachments()
    assert body is not None and body.get_content().replace("\r\n", "\n").rstrip("\n") == TEXT.rstrip("\n")
    assert (file.get_filename(), file.get_content()) == ("a.pdf", FILE)
