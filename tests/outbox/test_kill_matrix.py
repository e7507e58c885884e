"""The kill matrix: a real worker process ends by SIGKILL at every boundary of an attempt and inside each phase.

Afterwards the leases lapse, a worker goes on, and what the server took is compared with what the rows say: nothing is
lost, nothing went twice, and a person is asked exactly where "data" was committed and no outcome was.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from mailbox.models import Account

import pytest
from django.utils import timezone

from outbox import api, delivery, recovery
from outbox.models import OutboxMessage
from outbox.policy import AttachmentInput
from tests.servers.site import ROOT, environment
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Hold

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]

# The process kills itself at its n-th passage of an instant of its own code: before a call, inside it, or after it.
WORKER = """
import django, os, signal, sys
django.setup()
from outbox import claims, delivery, smtp, smtp_wire, sender
from django.db import connection
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def at(owner, name, when, passage):
    real, passed = getattr(owner, name), []
    def instead(*args, **kwargs):
        passed.append(1)
        if when == "before" and len(passed) == passage:
            die()
        answer = real(*args, **kwargs)
        if when == "after" and len(passed) == passage:
            die()
        return answer
    setattr(owner, name, instead)
def mid_body(passage):
    real, bodies = smtp_wire.Wire.send, []
    def send(self, octets, seconds):
        if isinstance(octets, memoryview) and bytes(octets[:11]) == b"Message-ID:":
            bodies.append(1)
            if len(bodies) == passage:
                real(self, octets[: len(octets) // 2], seconds)
                die()
        return real(self, octets, seconds)
    smtp_wire.Wire.send = send
def in_finalize(passage):
    # Inside the transaction that writes the outcome: after its UPDATE of the row, before its COMMIT.
    seen = []
    def wrapper(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if sql.startswith('UPDATE "outbox" ') and '"sent_at"' in sql:
            seen.append(1)
            if len(seen) == passage:
                die()
        return answer
    connection.execute_wrappers.append(wrapper)
{instant}
delivery.deliver_account(int(sys.argv[1]))
"""


@dataclass(frozen=True)
class Instant:
    """Where the worker dies while it sends row `passage`; `uncertain`: of which row the outcome is then unknown."""

    name: str
    code: str  # "" when the server holds the worker at a command and the test kills it
    command: str = ""
    uncertain: bool = False
    # A claim is made in the transaction that writes the outcome of the row before.
    uncertain_before: bool = False


INSTANTS = [
    Instant("before the claim", "at(claims, 'claim_next', 'before', {n})", uncertain_before=True),
    Instant("in the claim", "at(claims, '_begin_attempt', 'after', {n})", uncertain_before=True),
    Instant("after the claim", "at(claims, 'recipients', 'before', {n})"),
    Instant("while it reads the mail", "at(sender.rawstore, 'open_raw', 'after', {n})"),
    Instant("before it connects", "at(smtp_wire.Wire, 'connect', 'before', 1)"),
    Instant("in TLS", "", "CONNECT"),
    Instant("in EHLO", "", "EHLO"),
    Instant("in AUTH", "", "AUTH"),
    Instant("after AUTH", "at(smtp.SmtpSession, '_sign_in', 'after', 1)"),
    Instant("in MAIL", "", "MAIL"),
    Instant("in RCPT", "", "RCPT"),
    Instant("after RCPT", "at(claims, 'commit_data', 'before', {n})"),
    Instant('in the "data" commit', "at(claims, '_write_refused', 'after', 2 * {n} - 1)"),
    Instant('after the "data" commit', "at(claims, 'commit_data', 'after', {n})", uncertain=True),
    Instant("in DATA", "", "DATA", uncertain=True),
    Instant("in the middle of the body", "mid_body({n})", uncertain=True),
    Instant("after the final dot", "", ".", uncertain=True),
    Instant("after the answer", "at(smtp.SmtpSession, '_data', 'after', {n})", uncertain=True),
    Instant("before finalize", "at(claims, 'finalize', 'before', {n})", uncertain=True),
    Instant("in finalize", "in_finalize({n})", uncertain=True),
    Instant("before the commit of finalize", "at(claims, 'finalize', 'after', {n})", uncertain=True),
    Instant("after finalize", "at(sender.Sender, '_finalize', 'after', {n})"),
]
SHORT = {"in the claim", "in TLS", "in RCPT", "in the middle of the body", "after the final dot", "in finalize"}


def queued(account: Account, n: int) -> int:
    large = AttachmentInput("a.pdf", "application/pdf", content=bytes(range(256)) * 400)
    response = api.queue(account.pk, f"u{n}@example.test", f"Mail {n}", "A text.", large if n % 2 else None)
    assert response.ok and response.data, response
    return response.data.outbox_id


def run_and_kill(account_id: int, server: SmtpServer, instant: Instant, passage: int) -> None:
    hold = Hold()
    if instant.command in ("MAIL", "RCPT", "DATA", "."):
        marker = f"u{passage - 1}@" if instant.command in ("RCPT", ".") else ""
        server.on(instant.command, hold, containing=marker, times=1)
    elif instant.command:
        server.on(instant.command, hold, times=1)
    code = WORKER.format(instant=instant.code.format(n=passage))
    worker = subprocess.Popen([sys.executable, "-c", code, str(account_id)], cwd=ROOT, env=environment())
    if instant.command:
        assert hold.reached.wait(60), instant
        worker.kill()
    assert worker.wait(60) == -signal.SIGKILL, instant
    hold.release()


def check(account: Account, server: SmtpServer, instant: Instant, passage: int, rows: list[int]) -> None:
    """The leases lapse, another worker goes on; then rows and sink are compared."""
    later = timezone.now() + timedelta(hours=1)
    recovery.recover(later)
    delivery.deliver_account(account.pk, clock=lambda: later + timedelta(seconds=1))
    copies = Counter(mail.raw.split(b"\r\n", 1)[0] for mail in server.mails())
    for position, row in enumerate(OutboxMessage.objects.filter(pk__in=rows).order_by("pk")):
        sent = copies[f"Message-ID: <outbox-{row.pk}-0@prx-email.local>".encode()]
        where = f"{instant.name}, row {position + 1} of {len(rows)}, killed at row {passage}"
        assert row.retries == 0, where
        unknown = passage if instant.uncertain else passage - 1 if instant.uncertain_before else 0
        if position + 1 == unknown:
            assert (row.status, row.hold) == ("failed", "uncertain") and sent <= 1, where
        else:
            assert (row.status, row.hold, sent) == ("sent", "", 1), where
        assert not row.attempts.filter(outcome="").exists(), where


def kill_and_compare(account: Account, server: SmtpServer, instant: Instant, passage: int) -> None:
    rows = [queued(account, n) for n in range(3)]
    first = instant.command in ("CONNECT", "EHLO", "AUTH", "MAIL", "DATA") or ", 1)" in instant.code
    passage = 1 if first else passage
    run_and_kill(account.pk, server, instant, passage)
    check(account, server, instant, passage, rows)


@pytest.mark.parametrize("instant", [each for each in INSTANTS if each.name in SHORT], ids=lambda each: each.name)
def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(
    account_on: Accounts, smtp_server: Start, instant: Instant
) -> None:
    server = smtp_server("tls")
    kill_and_compare(account_on(server), server, instant, 2)


@pytest.mark.long
@pytest.mark.parametrize("instant", INSTANTS, ids=lambda each: each.name)
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_killed_at_every_instant_several_times_nothing_is_lost_or_doubled(
    account_on: Accounts, smtp_server: Start, instant: Instant, security: str
) -> None:
    server = smtp_server(security)
    account = account_on(server)
    for passage in (1, 2, 3):
        kill_and_compare(account, server, instant, passage)
        server.clear()
