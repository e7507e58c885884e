"""A worker that is frozen within a transaction keeps its row locked: nobody else hangs, and it goes on unharmed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from mailbox.models import Account
from outbox import api
from outbox.delivery import recovery
from outbox.models import OutboxMessage, SendingSwitch
from tests.outbox.delivery.kill_instants import WORKER
from tests.rows import outbox_row
from tests.servers.site import ROOT, environment
from tests.servers.smtp import SmtpServer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has its own timeout for its one writer."),
]
LATER = timedelta(hours=1)


@contextmanager
def frozen_in_a_transaction(account: Account, call: str = "commit_dot") -> Iterator[None]:
    """A worker that stopped after its UPDATE ("dot", or the claim) and before the COMMIT; it wakes up at the end."""
    instant = f"at(claims, '{call}', 'after', 1)"
    code = WORKER.replace("SIGKILL", "SIGSTOP").format(instant=instant, grace=60, alone=True)
    worker = subprocess.Popen([sys.executable, "-c", code, str(account.pk)], cwd=ROOT, env=environment())
    try:
        _pid, status = os.waitpid(worker.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        yield
        worker.send_signal(signal.SIGCONT)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()


@pytest.fixture
def row(account_on: Callable[..., Account], smtp_server: Callable[..., SmtpServer]) -> OutboxMessage:
    account = account_on(smtp_server("tls", pipelining=True))
    response = api.queue(account.pk, "bob@example.test", "Hello", "A text.")
    assert response.data
    return OutboxMessage.objects.get(pk=response.data.outbox_id)


@pytest.fixture
def impatient() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
        yield
        cursor.execute("RESET lock_timeout")


def test_every_connection_waits_for_a_lock_for_a_bounded_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("10s",)


def test_a_sweep_passes_over_what_a_frozen_worker_holds_and_its_mail_goes_once(row: OutboxMessage) -> None:
    other = outbox_row(row.account, "Left by a dead worker", status="sending", next_attempt_at=timezone.now() + LATER)
    lapsed = {"former_status": "pending", "claim_token": "x", "lease_expires_at": timezone.now()}
    OutboxMessage.objects.filter(pk=other.pk).update(**lapsed)
    with frozen_in_a_transaction(row.account):
        assert recovery.recover(timezone.now() + LATER) == (1, 0)
        other.refresh_from_db()
        assert other.status == "pending"
        OutboxMessage.objects.filter(pk=other.pk).update(status="cancelled")
    row.refresh_from_db()
    assert (row.status, row.hold, row.attempts.count()) == ("sent", "", 1)


def test_a_click_on_what_a_frozen_worker_holds_is_told_to_try_again(
    row: OutboxMessage, client: Client, make_user: Callable[..., User], impatient: None
) -> None:
    client.force_login(make_user("operator"))
    with frozen_in_a_transaction(row.account, "_begin_attempts"):  # for everybody else the mail is not claimed yet
        answer = client.post(reverse("outbox:cancel", args=[row.pk]), {"confirmed": "1"}, follow=True)
        assert "Another process is busy with this at the moment." in unescape(answer.content.decode())
    row.refresh_from_db()
    assert (row.status, row.attempts.count()) == ("sent", 1)


def test_a_page_that_waits_in_vain_for_another_lock_is_no_mistake_of_the_site(
    client: Client, make_user: Callable[..., User], impatient: None
) -> None:
    client.force_login(make_user("administrator"))
    SendingSwitch.objects.get_or_create(pk=1)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(f"BEGIN; LOCK TABLE {SendingSwitch._meta.db_table} IN EXCLUSIVE MODE")
            answer = client.post(reverse("outbox:pause_sending"), {"confirmed": "1"})
    finally:
        other.close()
    assert answer.status_code == 503 and "This is busy" in answer.content.decode()
