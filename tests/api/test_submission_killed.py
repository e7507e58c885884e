"""SMTP submission is killed: a mail that is sent again goes out once."""

from __future__ import annotations

import contextlib
import signal
import smtplib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mailbox.models import Account, AuditEntry
from outbox.compose import submit
from outbox.delivery import deliver
from outbox.models import OutboxMessage
from tests.api.killed_anywhere import MOMENTS, SHORT, hand_over_and_die
from tests.api.submitting import OPS, Submission, ops, secret, send, submission
from tests.servers.certificates import Certificates
from tests.servers.forked import Forked
from tests.servers.ports import free_ports, wait_until
from tests.servers.smtp import SmtpServer

__all__ = ["ops", "secret", "submission"]
pytestmark = pytest.mark.django_db(transaction=True)


SERVER = """
import django, sys
django.setup()
import os, signal
from pathlib import Path
from api.submission import acceptance, protocol, server
from api.submission.configuration import Configuration
from outbox.compose import new_row, submit
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
server.run(configuration, lambda: False)
"""
KILLED_AT = {
    "before it is read": "acceptance.accept = kill",
    "before its bytes are stored": "submit.raw_store.save_batch = kill",
    "behind its bytes": "submit.raw_store.save_batch = and_die(submit.raw_store.save_batch)",
    "before its row": "new_row.insert = kill",
    "behind its row": "new_row.insert = and_die(new_row.insert)",
    "behind its commit": "submit.write_down = and_die(submit.write_down)",
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


def test_told_to_stop_it_answers_the_mail_that_is_being_written_down(
    certificates: Certificates, ops: Account, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, begun, go_on = Submission(certificates), threading.Event(), threading.Event()
    submit_it = submit.submit

    def slowly(*given: Any, **more: Any) -> int:
        begun.set()
        assert go_on.wait(30)
        return submit_it(*given, **more)

    monkeypatch.setattr(submit, "submit", slowly)
    client = running.connect(secret)
    idle = running.connect(secret)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(send, client)
        assert begun.wait(30)
        stopped = pool.submit(running.stop)
        wait_until(lambda: not _answers(running.starttls), seconds=20, what="the end of listening")
        go_on.set()
        assert answer.result().startswith("250")
        stopped.result()
    with pytest.raises(smtplib.SMTPServerDisconnected):
        idle.docmd("NOOP")
    assert OutboxMessage.objects.count() == 1


BEFORE = """
from api.submission import acceptance
from outbox.compose.submitted_mail import Submitted
"""
HAND_OVER = """
program = acceptance.sign_in("ops@example.com", secret, "127.0.0.1")
head = f"From: ops@example.com\\r\\nMessage-ID: <{number}@app>\\r\\nSubject: Number {number}\\r\\n\\r\\n"
left = number
answer = acceptance.accept(program, Submitted(head.encode() + b"Dear Ann\\r\\n", ("ann@example.com",)))
os._exit(0 if answer.startswith("250") else 1)
"""


@pytest.mark.parametrize(
    "moment", [pytest.param(each, marks=() if each == SHORT else pytest.mark.long) for each in MOMENTS]
)
def test_killed_at_each_instruction_of_mail_and_data_it_goes_out_once(
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    submission: Submission,
    secret: str,
    tmp_path: Path,
    moment: str,
) -> None:
    sink = smtp_server("tls")
    account = account_on(sink, email=OPS)
    last = hand_over_and_die(BEFORE, HAND_OVER, moment, secret, account.pk, tmp_path)
    with submission.connect(secret) as again:
        for number in range(1, last + 1):
            head = f"From: {OPS}\r\nMessage-ID: <{number}@app>\r\nSubject: Number {number}\r\n\r\n"
            assert send(again, head.encode() + b"Dear Ann\r\n").startswith("250")
    deliver.deliver_account(account.pk)
    taken = Counter(line for each in sink.mails() for line in each.raw.splitlines() if line.startswith(b"Subject:"))
    assert taken == {f"Subject: Number {number}".encode(): 1 for number in range(1, last + 1)}
    assert AuditEntry.objects.filter(verb="send").count() == last


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=5) as found:
        return found.recv(3) == b"220"
    return False
