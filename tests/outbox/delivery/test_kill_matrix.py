"""The kill matrix: a real worker process ends by SIGKILL at every boundary of an attempt and inside each phase.

Afterwards the leases lapse, a worker goes on, and what the server took is compared with what the rows say: nothing is
lost, nothing went twice, and a person is asked exactly where "dot" was committed and no outcome was: of one row at
most.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from mailbox.models import Account, Lease
from outbox import api
from outbox.compose.attachments import AttachmentInput
from outbox.delivery import deliver, recovery
from outbox.models import DeliveryAttempt, OutboxMessage
from tests.outbox.delivery.kill_instants import FRESH, INSTANTS, SHORT, WORKER, Instant
from tests.servers.forked import Forked
from tests.servers.smtp import SmtpServer
from tests.servers.smtp_faults import Hold

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., SmtpServer]
Accounts = Callable[..., Account]


def queued(account: Account, n: int) -> int:
    large = AttachmentInput("a.pdf", "application/pdf", content=bytes(range(256)) * 400)
    response = api.queue(account.pk, f"u{n}@example.test", f"Mail {n}", "A text.", large if n % 2 else None)
    assert response.ok and response.data, response
    return response.data.outbox_id


def run_and_kill(account_id: int, server: SmtpServer, instant: Instant, passage: int, together: bool) -> None:
    groups = 1 if server.pipelining else 3  # MAIL, RCPT and DATA in one write, or each for itself
    hold = Hold()
    if instant.command:
        marker = f"u{passage - 1}@" if instant.command in ("RCPT", ".") else ""
        server.on(instant.command, hold, containing=marker, times=1)
    instant_code = instant.code.format(n=passage, groups=groups, ended="ended_before_the_end(2)")
    code = WORKER.format(instant=instant_code, grace=60 if together else 0)
    worker = Forked(code, account_id)
    if instant.command:
        assert hold.reached.wait(60), instant
        worker.kill()
    assert worker.wait(60) == -signal.SIGKILL, instant
    hold.release()
    wait_until_its_transaction_is_undone()


def wait_until_its_transaction_is_undone() -> None:
    """PostgreSQL keeps the locks of a client that died until it has noticed, and a sweep passes over locked rows."""
    if connection.vendor != "postgresql":
        return
    open_ones = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"""
    until, found = time.monotonic() + 30, (1,)
    with connection.cursor() as cursor:
        while found != (0,) and time.monotonic() < until:
            cursor.execute(open_ones)
            found = cursor.fetchone()


def check(
    account: Account, server: SmtpServer, instant: Instant, passage: int, rows: list[int], expected: int | None
) -> None:
    """The leases lapse, another worker goes on; then rows and sink are compared."""
    begun = DeliveryAttempt.objects.filter(outbox__in=rows, data_at__isnull=False, outcome="")
    unknown = list(begun.values_list("outbox_id", flat=True))
    where = f"{instant.name}, killed at passage {passage}"
    assert len(unknown) <= 1, where
    assert expected is None or unknown == ([rows[expected - 1]] if expected else []), where
    later = timezone.now() + timedelta(hours=1)
    recovery.recover(later)
    deliver.deliver_account(account.pk, clock=lambda: later + timedelta(seconds=1))
    copies = server.copies()  # of the sink's files
    assert sum(copies.values()) == len(server.mails())
    for row in OutboxMessage.objects.filter(pk__in=rows):
        sent = copies[f"<outbox-{row.pk}-0@prx-email.local>"]
        where = f"{instant.name}, row {rows.index(row.pk) + 1}, killed at passage {passage}"
        assert row.retries == 0, where
        if row.pk in unknown:
            assert (row.status, row.hold) == ("failed", "uncertain") and sent <= 1, where
        else:
            assert (row.status, row.hold, sent) == ("sent", "", 1), where
        assert not row.attempts.filter(outcome="").exists(), where
    # Where nothing was due any more, nobody took the account's lease over from the dead worker: it lapses as well.
    Lease.objects.filter(account=account, purpose=Lease.Purpose.SEND).delete()


def kill_and_compare(
    account: Account, server: SmtpServer, instant: Instant, passage: int, *, together: bool = True
) -> None:
    rows = [queued(account, n) for n in range(3)]
    run_and_kill(account.pk, server, instant, passage, together)
    check(account, server, instant, passage, rows, instant.unknown(passage, together))


@pytest.mark.parametrize("instant", [each for each in INSTANTS if each.name in SHORT], ids=lambda each: each.name)
def test_a_worker_that_is_killed_loses_nothing_and_doubles_nothing(
    account_on: Accounts, smtp_server: Start, instant: Instant, tmp_path: Path
) -> None:
    server = smtp_server("tls", pipelining=True, folder=tmp_path)
    kill_and_compare(account_on(server), server, instant, min(2, instant.passages[-1]))


@pytest.mark.long
@pytest.mark.parametrize("instant", INSTANTS, ids=lambda each: each.name)
@pytest.mark.parametrize(
    "offered",
    [{"pipelining": True}, {"pipelining": False}],
    ids=["PIPELINING", "one by one"],
)
@pytest.mark.parametrize("together", [True, False], ids=["one commit", "two commits"])
def test_killed_at_every_instant_several_times_nothing_is_lost_or_doubled(
    account_on: Accounts,
    smtp_server: Start,
    instant: Instant,
    offered: dict[str, bool],
    together: bool,
    tmp_path: Path,
) -> None:
    server = smtp_server("starttls" if offered["pipelining"] else "tls", **offered, folder=tmp_path)
    account = account_on(server)
    for passage in instant.passages:
        kill_and_compare(account, server, instant, passage, together=together)
        server.clear()


@pytest.mark.parametrize("instant", FRESH, ids=lambda each: each.name)
@pytest.mark.in_part(3)
def test_killed_while_a_mail_moves_to_a_fresh_session_it_is_in_question_only_while_dot_stands(
    account_on: Accounts, smtp_server: Start, instant: Instant, tmp_path: Path
) -> None:
    server = smtp_server("tls", pipelining=True, folder=tmp_path)
    kill_and_compare(account_on(server), server, instant, 2)
