"""SMTP submission is killed: a mail that is sent again goes out once."""

from __future__ import annotations

import contextlib
import signal
import smtplib
import socket
import ssl
from collections.abc import Callable

import pytest

from mailbox.models import Account
from outbox.delivery import deliver
from outbox.models import OutboxMessage
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


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=5) as found:
        return found.recv(3) == b"220"
    return False
