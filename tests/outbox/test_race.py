"""Several worker processes on one account, their clocks apart, with leases that run out in the middle of a mail."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from mailbox.models import Account

import pytest
from django.utils import timezone

from outbox import api, recovery
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.servers.site import ROOT, environment
from tests.servers.smtp import SinkMail, SmtpServer
from tests.servers.smtp_faults import Fault

pytestmark = pytest.mark.django_db(transaction=True)
# Each sweeps and delivers as fast as it can; a lease is a fraction of what a slow mail takes.
WORKER = """
import django, sys, time
django.setup()
from datetime import timedelta
from django.db import OperationalError
from django.utils import timezone
from outbox import delivery, recovery
from outbox.sender import Times
from outbox.smtp_conversation import Patience
account, skew, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
clock = lambda: timezone.now() + timedelta(seconds=skew)
times = Times(Patience(10, 20, 20, 60), claim_lease=0.4, data_lease=0.4, finalize=30)
end = time.monotonic() + seconds
while time.monotonic() < end:
    try:
        recovery.recover(clock())
        if not delivery.deliver_account(account, 5, times=times, clock=clock).attempted:
            time.sleep(0.05)
    except OperationalError as error:
        print("the database was busy:", error, file=sys.stderr)
"""


def race(account: Account, server: SmtpServer, rows: int, workers: int, seconds: float) -> None:
    for n in range(rows):
        assert api.queue(account.pk, f"u{n}@example.test", f"Mail {n}", "A text.").ok
    slow_down(server)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(account.pk), str(skew), str(seconds)], cwd=ROOT, env=environment()
        )
        for skew in [0, 0.3, -5, 5][:workers]
    ]
    assert [process.wait(seconds + 120) for process in processes] == [0] * workers
    recovery.recover(timezone.now() + timedelta(hours=1))
    compare(server, rows)


def slow_down(server: SmtpServer) -> None:
    """Now and then a recipient, or the final dot, takes longer than a lease."""
    asked, taken, answer = itertools.count(), itertools.count(), server.fault

    def fault(command: str, line: str) -> Fault | None:
        if command == "RCPT" and next(asked) % 7 == 3:
            threading.Event().wait(1.2)
        return answer(command, line)

    def deliver(mail: SinkMail) -> None:
        if next(taken) % 5 == 0:
            threading.Event().wait(1.2)

    server.fault, server.deliver = fault, deliver  # type: ignore[method-assign]


def compare(server: SmtpServer, rows: int) -> None:
    copies = Counter(mail.raw.split(b"\r\n", 1)[0].decode() for mail in server.mails())
    assert max(copies.values()) == 1, "a mail went out twice"
    found = Counter[tuple[str, str]]()
    for row in OutboxMessage.objects.all():
        sent = copies[f"Message-ID: <outbox-{row.pk}-0@prx-email.local>"]
        found[row.status, row.hold] += 1
        if row.status == "sent":
            assert sent == 1, f"row {row.pk} is lost"
        elif row.hold != "uncertain":
            assert row.hold == "" and row.status in ("pending", "failed") and sent == 0, (row.pk, row.status, row.hold)
    assert sum(found.values()) == rows and found["sent", ""] > 0
    # The leases did run out in the middle, or nothing was proved.
    assert DeliveryAttempt.objects.filter(outcome="abandoned").exists(), found


def test_workers_whose_leases_run_out_send_nothing_twice(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("tls")
    race(account_on(server), server, rows=30, workers=3, seconds=12)


@pytest.mark.long
def test_many_workers_whose_leases_run_out_send_nothing_twice(
    account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]
) -> None:
    server = smtp_server("starttls")
    race(account_on(server), server, rows=1000, workers=4, seconds=150)
