"""A second cluster on the same database whose data folder is another one: the mails' files are not there."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from mailbox.models import Account, RawMessage
from mailbox.storage import durable_files, raw_store
from outbox import api, restore_guard
from outbox.actions import transitions
from outbox.delivery import deliver
from outbox.models import OutboxMessage, SendingSwitch
from outbox.retry import policy as retry_policy
from tests.rows import attempt
from tests.servers.site import ROOT, Cluster, environment
from tests.servers.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
Accounts = Callable[..., Account]
Start = Callable[..., SmtpServer]
# Both folders lie in the tests' own: tests.settings names them by this variable.
ELSEWHERE = {"PYTEST_XDIST_WORKER": "elsewhere"}
WORKER = """
import django, sys
django.setup()
from outbox.delivery import deliver as delivery
delivery.deliver_account(int(sys.argv[1]))
"""


def queued(account: Account, count: int = 3) -> list[int]:
    for number in range(count):
        assert api.queue(account.pk, f"u{number}@example.test", f"Mail {number}", "A text.").ok
    return list(OutboxMessage.objects.order_by("pk").values_list("pk", flat=True))


def a_worker_elsewhere_delivers(account: Account) -> None:
    subprocess.run(
        [sys.executable, "-c", WORKER, str(account.pk)], cwd=ROOT, env=environment(**ELSEWHERE), check=True, timeout=60
    )


def test_a_second_cluster_with_another_data_folder_begins_with_all_sending_paused_and_says_why(
    account_on: Accounts, smtp_server: Start, tmp_path: Path
) -> None:
    server = smtp_server("tls")
    queued(account_on(server))
    restore_guard.check(timezone.now())  # the first cluster's sweep
    cluster = Cluster(tmp_path / "log", **ELSEWHERE)
    try:
        until = time.monotonic() + 60
        while len(cluster.pids()) < 5:  # it has its workers
            assert time.monotonic() < until, cluster.log()
            time.sleep(0.1)
    finally:
        cluster.stop()
    assert SendingSwitch.current().reason == restore_guard.CLONED
    assert server.connections == 0
    # It looks like a copy, whose mail the first one may have sent since.
    assert set(OutboxMessage.objects.values_list("status", "retries", "hold")) == {("failed", 0, "uncertain")}


def test_where_a_person_lets_both_send_the_mail_waits_for_a_worker_that_has_its_file(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    rows = queued(account)

    a_worker_elsewhere_delivers(account)

    assert server.connections == 0
    for row in OutboxMessage.objects.filter(pk__in=rows):
        assert (row.status, row.hold, row.retries, row.error_code) == ("failed", "", 0, "Storage")
        assert "PRX_EMAIL_DATA_DIR" in row.error and "cannot be read" in row.error
        assert timezone.now() < row.next_attempt_at <= timezone.now() + timedelta(minutes=1)
    later = timezone.now() + timedelta(minutes=1)
    deliver.deliver_account(account.pk, clock=lambda: later)
    assert list(OutboxMessage.objects.values_list("status", flat=True)) == ["sent"] * 3
    assert {f"<outbox-{pk}-0@prx-email.local>": 1 for pk in rows} == dict(server.copies())


def test_a_file_that_is_gone_for_good_is_a_persons_question_after_two_hours(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    (pk,) = queued(account, 1)
    Path(durable_files.raw_storage().path(RawMessage.objects.get().segment)).unlink()
    now = begun = timezone.now()

    def clock() -> datetime:
        return now

    for _ in range(retry_policy.MOST_LOOKS - 1):
        deliver.deliver_account(account.pk, clock=clock)
        row = OutboxMessage.objects.get()
        assert (row.status, row.hold, row.retries) == ("failed", "", 0)
        now = row.next_attempt_at
    assert now - begun == timedelta(hours=2)
    deliver.deliver_account(account.pk, clock=clock)
    assert OutboxMessage.objects.get().hold == "permanent"
    transitions.ask_retry(pk, user=None, now=now)  # who retries without mending is told at once
    deliver.deliver_account(account.pk, clock=clock)
    assert OutboxMessage.objects.get().hold == "permanent" and server.connections == 0


def test_a_store_that_is_away_for_a_night_makes_no_question_of_a_mail_of_which_nothing_was_sent(
    account_on: Accounts, smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = smtp_server("tls")
    account = account_on(server)
    queued(account, 1)
    now = begun = timezone.now()

    def clock() -> datetime:
        return now

    def away(*_: Any, **__: Any) -> bytes:
        raise OSError(errno.EIO, "the object store is out of reach")

    with monkeypatch.context() as patch:
        patch.setattr(raw_store, "read_part", away)
        while now - begun < timedelta(hours=8):
            deliver.deliver_account(account.pk, clock=clock)
            row = OutboxMessage.objects.get()
            assert (row.status, row.hold, row.retries) == ("failed", "", 0)
            assert "out of reach" in row.error and "goes out by itself" in row.error
            assert now < row.next_attempt_at <= now + timedelta(minutes=15)
            now = row.next_attempt_at
    deliver.deliver_account(account.pk, clock=clock)
    assert OutboxMessage.objects.get().status == "sent" and list(server.copies().values()) == [1]


def test_a_mail_that_was_tried_often_for_other_reasons_waits_for_its_file_all_the_same(
    account_on: Accounts, smtp_server: Start
) -> None:
    account = account_on(smtp_server("tls"))
    (pk,) = queued(account, 1)
    for number in range(1, retry_policy.MOST_LOOKS + 5):
        attempt(OutboxMessage.objects.get(pk=pk), prx_attempt=f"p{number}", phase="connect", outcome="transient")
    Path(durable_files.raw_storage().path(RawMessage.objects.get().segment)).unlink()
    deliver.deliver_account(account.pk)
    row = OutboxMessage.objects.get()
    assert (row.status, row.hold, row.retries) == ("failed", "", 0)
    assert row.next_attempt_at <= timezone.now() + timedelta(minutes=1)


def test_a_damaged_file_is_a_persons_question_at_once(account_on: Accounts, smtp_server: Start) -> None:
    account = account_on(smtp_server("tls"))
    queued(account, 1)
    Path(durable_files.raw_storage().path(RawMessage.objects.get().segment)).write_bytes(b"x" * 5000)
    deliver.deliver_account(account.pk)
    row = OutboxMessage.objects.get()
    assert row.hold == "permanent" and "is damaged" in row.error


def test_a_store_that_is_away_for_a_while_holds_up_nothing_that_is_there(
    account_on: Accounts, smtp_server: Start
) -> None:
    server = smtp_server("tls", pipelining=True)
    account = account_on(server)
    rows = queued(account, 4)
    segment = Path(durable_files.raw_storage().path(RawMessage.objects.order_by("stored_at")[1].segment))
    away = segment.rename(segment.with_name("away"))
    deliver.deliver_account(account.pk)
    assert sorted(OutboxMessage.objects.values_list("status", flat=True)) == ["failed", "sent", "sent", "sent"]
    assert deliver.may_send(account.pk, timezone.now())
    away.rename(segment)
    later = timezone.now() + timedelta(minutes=1)
    deliver.deliver_account(account.pk, clock=lambda: later)
    assert sum(server.copies().values()) == len(server.copies()) == len(rows)
