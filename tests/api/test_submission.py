"""SMTP submission: a program hands over mail by standard clients, and 250 means that the mail will go out, once."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import itertools
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone

from api import tokens
from api.models import Scope
from api.submission import acceptance, protocol, server
from api.submission.configuration import Configuration
from api.submission.limits import Limits
from api.tokens import Terms
from mailbox.errors import StorageError
from mailbox.models import Account, AuditEntry
from mailbox.storage import raw_store
from outbox.delivery import deliver
from outbox.models import AttachmentPolicy, OutboxMessage
from outbox.tasks import delivery as delivery_tasks
from tests.rows import NOWHERE
from tests.servers.certificates import Certificates
from tests.servers.forked import Forked
from tests.servers.ports import free_ports, wait_until
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = b"From: Ops <ops@example.com>\r\nTo: ann@example.com\r\nSubject: Hi\r\nMessage-ID: <1@app.example.com>\r\n"
MAIL = HEADER + b"\r\nDear Ann\r\n"
OPS = "ops@example.com"


class Submission:
    """The server in a thread of this process; `starttls` and `tls` are its ports."""

    def __init__(self, certificates: Certificates, limits: Limits | None = None, max_bytes: int = 100_000) -> None:
        self.context, self.limits = certificates.client_context(), limits or Limits()
        configuration = Configuration(
            ("127.0.0.1", 0), ("127.0.0.1", 0), certificates.certificate, certificates.key, max_bytes, "mx.example.com"
        )
        self._stop, self._ready = threading.Event(), threading.Event()
        run = server.serve(configuration, self._stop.is_set, self._listening, self.limits)
        self._thread = threading.Thread(target=asyncio.run, args=(run,), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def _listening(self, ports: list[int]) -> None:
        self.starttls, self.tls = ports
        self._ready.set()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def connect(self, secret: str = "", login: str = OPS) -> smtplib.SMTP:
        """Signed in by STARTTLS, when there is a secret."""
        client = smtplib.SMTP("localhost", self.starttls, timeout=20)
        client.starttls(context=self.context)
        client.ehlo()
        if secret:
            client.login(login, secret)
        return client


@pytest.fixture
def submission(certificates: Certificates, transactional_db: None) -> Iterator[Submission]:
    running = Submission(certificates)
    yield running
    running.stop()


@pytest.fixture
def ops(make_account: Callable[..., Account]) -> Account:
    return make_account(OPS, **NOWHERE)


def token_of(user: User, **terms: Any) -> str:
    given: dict[str, Any] = {
        "name": "billing",
        "scopes": [Scope.SEND],
        "expires_at": timezone.now() + timedelta(days=1),
    }
    return tokens.make(user, Terms(**(given | terms)), by=user)[1]


@pytest.fixture
def secret(make_user: Callable[..., User]) -> str:
    return token_of(make_user("operator"))


def refusal(act: Callable[[], object]) -> str:
    """The reply by which the server refuses."""
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        act()
    return f"{refused.value.smtp_code} {refused.value.smtp_error.decode()}"


def send(client: smtplib.SMTP, content: bytes = MAIL, to: tuple[str, ...] = ("ann@example.com",)) -> str:
    """The reply to the end of the mail, or to what was refused before it."""
    for command in (f"MAIL FROM:<{OPS}>", *(f"RCPT TO:<{each}>" for each in to)):
        code, words = client.docmd(command)
        if code != 250:
            return f"{code} {words.decode()}"
    code, words = client.data(content)
    return f"{code} {words.decode()}"


def frozen(row: OutboxMessage) -> bytes:
    return raw_store.open_raw(row.mime_digest)


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
    for secret in (reader, of_sales, elsewhere, ended, "prx_wrong"):
        client = submission.connect()
        assert refusal(functools.partial(client.login, OPS, secret)).startswith("535 5.7.8")
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
        ((b"From: Ops <ops@example.com>", b"From: Eve <eve@example.com>"), "From must be ops@example.com"),
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


def test_too_many_recipients_are_told_to_come_again(submission: Submission, ops: Account, secret: str) -> None:
    with submission.connect(secret) as client:
        client.docmd(f"MAIL FROM:<{OPS}>")
        codes = [client.docmd(f"RCPT TO:<a{number}@example.com>")[0] for number in range(101)]
    assert codes == [250] * 100 + [452]


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
            (acceptance.submit, "insert", OperationalError("gone from 10.1.2.3")),
            (acceptance.submit, "insert", RuntimeError("a fault of ours")),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(target, name, fail(error))
                answer = send(client)
                assert answer.startswith("451 4.3.0") and "10.1.2.3" not in answer
        assert not OutboxMessage.objects.exists()
        monkeypatch.setattr(delivery_tasks, "queue_delivery", fail(OperationalError("gone")))
        assert send(client).startswith("250")  # it is durable: the sweep finds it
    assert OutboxMessage.objects.count() == 1


def test_what_is_too_long_or_too_large_is_refused_and_kept_nowhere(
    certificates: Certificates, ops: Account, secret: str
) -> None:
    running = Submission(certificates, Limits(bytes_at_once=50_000))
    with running.connect(secret) as client:
        assert send(client, MAIL + b"x" * 2000 + b"\r\n").startswith("554 5.6.0")
        assert send(client, MAIL + b"x\r\n" * 40_000).startswith("552 5.3.4")
        assert send(client, MAIL + b"x\r\n" * 20_000).startswith("451 4.3.1")
        assert client.docmd(f"MAIL FROM:<{OPS}> SIZE=100001")[0] == 552
        assert client.docmd("NOOP " + "x" * 5000)[0] == 500
        assert running.limits.reserve(50_000)  # nothing is held any more
        running.limits.free(50_000)
        assert send(client).startswith("250")
    running.stop()


def test_a_line_end_that_is_none_ends_no_mail(submission: Submission, ops: Account, secret: str) -> None:
    """Else one mail could hold the commands of another (SMTP smuggling)."""
    with submission.connect(secret) as client:
        client.docmd(f"MAIL FROM:<{OPS}>")
        client.docmd("RCPT TO:<ann@example.com>")
        client.docmd("DATA")
        client.send(MAIL + b"\n.\nMAIL FROM:<ops@example.com>\r\n.\r\n")
        assert client.getreply()[0] == 250
    row = OutboxMessage.objects.get()
    assert frozen(row).endswith(b"\r\n\r\n.\r\nMAIL FROM:<ops@example.com>\r\n")


def test_commands_may_come_together(submission: Submission, ops: Account, secret: str) -> None:
    with submission.connect(secret) as client:
        client.send(f"MAIL FROM:<{OPS}>\r\nRCPT TO:<ann@example.com>\r\nRCPT TO:<nobody>\r\nDATA\r\n")
        assert [client.getreply()[0] for _ in range(4)] == [250, 250, 553, 354]
        client.send(MAIL + b".\r\nRSET\r\nNOOP\r\n")
        assert [client.getreply()[0] for _ in range(3)] == [250, 250, 250]


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


def test_strangers_have_a_share_of_the_connections_and_little_time(
    certificates: Certificates, ops: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "SIGN_IN_SECONDS", 1.0)
    running = Submission(certificates, Limits(signed_out=2))
    with running.connect(secret) as client:
        strangers = [socket.create_connection(("localhost", running.starttls)) for _ in range(3)]
        greetings = [stranger.makefile("rb").readline()[:3] for stranger in strangers]
        assert greetings == [b"220", b"220", b"421"]
        assert [stranger.recv(100) for stranger in strangers] == [b""] * 3  # their time is over
        assert send(client).startswith("250")
    for stranger in strangers:
        stranger.close()
    wait_until(lambda: running.limits.enter("x"), seconds=20, what="room once more")
    running.stop()


NOISE = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 600, b"\xff" * 4000, b'EHLO x\r\nMAIL FROM:<"\r\n')


def test_noise_stops_nothing(submission: Submission, ops: Account, secret: str) -> None:
    for port, noise in itertools.product((submission.starttls, submission.tls), NOISE):
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)) as stranger:
            stranger.sendall(noise)
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(1000):
                pass
    with submission.connect(secret) as client:
        assert send(client).startswith("250")


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


SERVER = """
import django, sys
django.setup()
import asyncio, os, signal
from pathlib import Path
from api.submission import acceptance, protocol, server
from api.submission.configuration import Configuration
from outbox.compose import submit
def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
def and_die(step):
    def stop(*args, **kwargs):
        step(*args, **kwargs)
        kill()
    return stop
{patch}
port, certificate, key = sys.argv[1:]
configuration = Configuration(("127.0.0.1", int(port)), None, Path(certificate), Path(key), 100_000, "mx.example.com")
asyncio.run(server.serve(configuration, lambda: False))
"""
KILLED_AT = {
    "before it is read": "acceptance.accept = kill",
    "before its bytes are stored": "submit.raw_store.save_batch = kill",
    "behind its bytes": "submit.raw_store.save_batch = and_die(submit.raw_store.save_batch)",
    "before its row": "submit.insert = kill",
    "behind its row": "submit.insert = and_die(submit.insert)",
    "before the queue": "acceptance._have_it_delivered = kill",
    "before 250": "acceptance.accept = and_die(acceptance.accept)",
}


OFTEN = ("behind its bytes", "behind its row", "before 250")


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=() if step in OFTEN else pytest.mark.long) for step in KILLED_AT]
)
def test_killed_at_any_step_a_mail_that_is_sent_again_goes_out_once(
    certificates: Certificates,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    submission: Submission,
    secret: str,
    step: str,
) -> None:
    sink = smtp_server("tls")
    account = account_on(sink, email=OPS)
    (port,) = free_ports(1)
    victim = Forked(SERVER.format(patch=KILLED_AT[step]), port, certificates.certificate, certificates.key)
    try:
        wait_until(lambda: _answers(port), seconds=30, what="the server that is to be killed")
        client = smtplib.SMTP("localhost", port, timeout=20)
        client.starttls(context=submission.context)
        client.login(OPS, secret)
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError, ssl.SSLError)):
            send(client)
        assert victim.wait(30) == -signal.SIGKILL
    finally:
        victim.kill()
    with submission.connect(secret) as again:
        assert send(again).startswith("250")
    deliver.deliver_account(account.pk)
    assert [mail.raw.count(b"Dear Ann") for mail in sink.mails()] == [1]
    assert OutboxMessage.objects.get().status == "sent"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=5) as found:
        return found.recv(3) == b"220"
    return False


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
