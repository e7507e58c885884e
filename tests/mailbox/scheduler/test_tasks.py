"""What django-q2 runs: by the clock, by click, and the cleaning."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ, Schedule, Task

from mailbox import schedules
from mailbox.models import Account, Counter, Folder, SyncRun, WorkerHeartbeat
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.rows import looked_yesterday, tasks_queued
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db
MakeAccount = Callable[..., Account]


def queued() -> list[tuple[str, tuple[Any, ...]]]:
    tasks_queued()
    return [(row.func(), row.task["args"]) for row in OrmQ.objects.order_by("pk")]


def test_a_tick_syncs_what_is_due_and_stores_its_report(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    sync_tasks.sync_tick()
    assert stored(account) == on_server(dovecot, account)
    run = SyncRun.objects.get()
    assert (run.trigger, run.succeeded) == ("schedule", 1)
    assert queued() == []


def test_a_tick_with_nothing_due_leaves_no_report() -> None:
    sync_tasks.sync_tick()
    assert not SyncRun.objects.exists()


def test_a_tick_that_ran_out_of_time_queues_one_continuation_which_queues_none(
    make_account: MakeAccount, dovecot: Dovecot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 6)
    settings.SYNC_MAX_MESSAGES = 2

    def past(moment: float | None) -> bool:
        return moment is not None and (moment <= time.monotonic() or bool(stored(account)))

    monkeypatch.setattr("mailbox.scheduler.runner.GO_ON_SECONDS", 0.0)
    monkeypatch.setattr("mailbox.scheduler.runner._past", past)
    sync_tasks.sync_tick()
    assert queued() == [("mailbox.tasks.sync_tick", (True,))]
    sync_tasks.sync_tick(True)
    assert len(queued()) == 1


def test_a_click_syncs_the_chosen_folders_and_says_who_asked(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account, user = make_account(), User.objects.create_user("olga")
    dovecot.create_folder(account.email, "Sent")
    for name in ("INBOX", "Sent"):
        Folder.objects.create(account=account, name=name, sync_enabled=True)
    sync_tasks.sync_account(account.pk, user.pk)
    run = SyncRun.objects.get()
    assert (run.trigger, run.requested_by, run.succeeded) == ("click", user, 2)


def test_a_task_of_a_deleted_account_ends_quietly() -> None:
    sync_tasks.sync_account(12345, None)
    sync_tasks.list_folders(12345)
    assert SyncRun.objects.get().attempted == 0


def test_folders_are_listed_by_click_and_a_refusal_is_on_the_transport(
    make_account: MakeAccount, dovecot: Dovecot
) -> None:
    account, refused = make_account(), make_account(imap_password="wrong")
    sync_tasks.list_folders(account.pk)
    sync_tasks.list_folders(refused.pk)
    assert account.folders.filter(name="INBOX", sync_enabled=True).exists()
    refused.imap.refresh_from_db()
    assert refused.imap.needs_sign_in_since is not None


def test_what_is_queued_holds_ids_and_names_what_exists() -> None:
    sync_tasks.queue_sync(7, 8)
    sync_tasks.queue_folder_listing(7)
    assert not OrmQ.objects.exists()  # a worker would look for an account that is not committed yet
    assert queued() == [("mailbox.tasks.sync_account", (7, 8)), ("mailbox.tasks.list_folders", (7,))]
    assert all(callable(import_string(name)) for name, _ in queued())


def test_a_heartbeat_is_one_row_a_cluster_renewed() -> None:
    sync_tasks.beat()
    first = WorkerHeartbeat.objects.get()
    sync_tasks.beat()
    second = WorkerHeartbeat.objects.get()
    assert second.cluster_pid == os.getppid()
    assert second.started_at == first.started_at
    assert second.seen_at > first.seen_at


def test_schedules_are_made_once_mended_and_name_what_exists() -> None:
    schedules.make_schedules()
    expected = sorted(planned.name for planned in schedules.PLANNED)
    assert sorted(Schedule.objects.filter(name__in=expected).values_list("name", flat=True)) == expected
    Schedule.objects.filter(name="mailbox: sync").update(func="os.system")
    Schedule.objects.create(name="mailbox: sync", func="os.system")
    later = timezone.now() + timedelta(hours=3)
    Schedule.objects.update(next_run=later)
    schedules.make_schedules()
    row = Schedule.objects.get(name="mailbox: sync")
    assert (row.func, row.next_run) == ("mailbox.tasks.sync_tick", later)
    assert all(callable(import_string(planned.func)) for planned in schedules.PLANNED)


def test_what_is_old_is_pruned_and_what_is_young_stays(make_account: MakeAccount) -> None:
    now = timezone.now()
    account = make_account(imap_host="imap.example.com", imap_port=993, smtp_host="smtp.example.com", smtp_port=465)
    for days in (1, 15):
        SyncRun.objects.create(started_at=now - timedelta(days=days))
        when = now - timedelta(days=days)
        Task.objects.create(id=f"task-{days}", name="t", func="f", started=when, stopped=when, success=False)
        Counter.objects.create(account=account, name="sends", hour=now - timedelta(days=400 * days - 390))
        WorkerHeartbeat.objects.create(
            host="h", cluster_pid=days, started_at=now, seen_at=now - timedelta(days=days - 1)
        )
    looked_yesterday()
    sync_tasks.prune()
    assert SyncRun.objects.count() == 1
    assert Task.objects.get().id == "task-1"
    assert Counter.objects.count() == 1
    assert WorkerHeartbeat.objects.get().cluster_pid == 1


def test_after_the_clock_was_set_back_what_runs_by_it_is_due_at_once() -> None:
    now = timezone.now()
    Schedule.objects.update(next_run=now + timedelta(seconds=30))
    minutely = Schedule.objects.get(name="mailbox: sync")
    daily = Schedule.objects.get(name="mailbox: prune old reports")
    hourly = Schedule.objects.get(name="mailbox: count what is kept")
    once = Schedule.objects.create(func="mailbox.tasks.beat", schedule_type=Schedule.ONCE, next_run=now + timedelta(9))
    Schedule.objects.filter(pk=minutely.pk).update(next_run=now + timedelta(hours=1))
    Schedule.objects.filter(pk=daily.pk).update(next_run=now + timedelta(days=1, hours=1))
    Schedule.objects.filter(pk=hourly.pk).update(next_run=now + timedelta(hours=1))

    assert schedules.pull_back(now) == 2

    for row in (minutely, daily, hourly, once):
        row.refresh_from_db()
    assert (minutely.next_run, daily.next_run) == (now, now)
    assert (hourly.next_run, once.next_run) == (now + timedelta(hours=1), now + timedelta(9))
    assert Schedule.objects.filter(next_run=now + timedelta(seconds=30)).count() == Schedule.objects.count() - 4
    assert schedules.pull_back(now) == 0


def test_the_watch_outside_the_workers_looks_after_their_clock() -> None:
    Schedule.objects.filter(name="mailbox: sync").update(next_run=timezone.now() + timedelta(hours=1))
    call_command("alerts")
    assert Schedule.objects.get(name="mailbox: sync").next_run <= timezone.now()
