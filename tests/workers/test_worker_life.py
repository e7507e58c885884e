"""That workers are there is known as soon as they take tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_q.models import Schedule, Task
from django_q.tasks import async_task

from mailbox import schedules
from mailbox.models import Account, SyncRun, SyncState, WorkerHeartbeat
from outbox import api as outbox_api
from outbox.models import OutboxMessage
from prx_email_site.workers.supervisor import SWITCH_SECONDS
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.servers import MAILBOX_PASSWORD
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until
from tests.servers.site import Cluster
from tests.servers.smtp import SmtpServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.processes]


@pytest.mark.long
def test_a_cluster_is_seen_before_its_clock_turns(start_workers: Callable[..., Cluster]) -> None:
    Schedule.objects.all().delete()
    cluster = start_workers()
    until = time.monotonic() + 30
    while not WorkerHeartbeat.objects.exists():
        assert time.monotonic() < until, cluster.log()
        time.sleep(0.1)


def test_a_cluster_that_is_stopped_in_order_takes_its_heartbeat_along(start_workers: Callable[..., Cluster]) -> None:
    Schedule.objects.all().delete()
    cluster = start_workers()
    wait_until(WorkerHeartbeat.objects.exists, seconds=30, what="a heartbeat")
    cluster.stop()
    assert not WorkerHeartbeat.objects.exists()


@pytest.mark.long
def test_the_workers_threads_wait_less_for_one_another(workers: Cluster) -> None:
    async_task("sys.getswitchinterval")
    done = Task.objects.filter(func="sys.getswitchinterval")
    wait_until(done.exists, seconds=30, what="a worker to take the task")
    assert done.get().result == pytest.approx(SWITCH_SECONDS)


def test_accounts_that_are_due_when_a_cluster_starts_are_looked_at_at_once(
    start_workers: Callable[..., Cluster], make_account: Callable[..., Account], dovecot: Dovecot
) -> None:
    """Not with django-q2's own first look at its schedules, half a minute later."""
    account = make_account()
    fill(dovecot, account, 1)
    schedules.make_schedules()
    Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=5))
    start_workers()
    looked = SyncState.objects.filter(account=account, last_success_at__isnull=False)
    wait_until(looked.exists, seconds=60, what="the first look")
    at_work_since = WorkerHeartbeat.objects.get().started_at
    assert SyncRun.objects.earliest("pk").started_at - at_work_since < timedelta(seconds=20)
    assert stored(account) == on_server(dovecot, account)


@pytest.mark.long
@pytest.mark.parametrize("command", ["set_secret", "reload_auth"])
def test_running_workers_take_a_secret_that_a_command_has_given(
    workers: Cluster,
    account_on: Callable[..., Account],
    smtp_server: Callable[..., SmtpServer],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
) -> None:
    """Nobody restarts them: what the old secret had parked goes out."""
    sink = smtp_server("tls")
    is_token = command == "reload_auth"
    wrong = {"smtp_password": None, "smtp_oauth_token": "bad-token"} if is_token else {"smtp_password": "not the one"}
    account = account_on(sink, **wrong)
    parked = outbox_api.queue(account.pk, "ann@example.com", "Hi", "Dear Ann")
    assert parked.data is not None
    row = OutboxMessage.objects.filter(pk=parked.data.outbox_id)
    wait_until(row.filter(hold="sign_in").exists, seconds=60, what="the refusal of the old secret")
    if is_token:
        monkeypatch.setenv("PRX_EMAIL_SMTP_OAUTH_TOKEN", "good-token")
        call_command(command, account.email)
    else:
        monkeypatch.setenv("NEW_PASSWORD", MAILBOX_PASSWORD)
        call_command(command, account.email, transport="smtp", password_env="NEW_PASSWORD")
    wait_until(row.filter(status="sent").exists, seconds=60, what="the mail to go out with the new one")
    assert len(sink.mails()) == 1
    assert "bad-token" not in workers.log() and "not the one" not in workers.log()
