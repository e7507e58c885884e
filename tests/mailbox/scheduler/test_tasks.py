"""What django-q2 runs: by the clock, by click, and the cleaning."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ, Schedule, Task
from django_q.signals import pre_execute

from mailbox import schedules
from mailbox.host_slots import take_slots
from mailbox.models import Account, Counter, Folder, Lease, SyncRun, SyncState, WorkerHeartbeat
from mailbox.scheduler import account_queue
from mailbox.scheduler.report import RunReport
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.sync.quiet import at_examine
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.rows import looked_yesterday, tasks_queued
from tests.servers.dovecot import Dovecot

pytestmark = pytest.mark.django_db
MakeAccount = Callable[..., Account]


def queued() -> list[tuple[str, tuple[Any, ...]]]:
    tasks_queued()
    return [(row.func(), row.task["args"]) for row in OrmQ.objects.order_by("pk")]


@pytest.mark.django_db(transaction=True)
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


@pytest.mark.django_db(transaction=True)
def test_a_share_goes_on_turn_after_turn_with_what_has_more_waiting_and_begins_nothing_when_the_next_tick_is_due(
    make_account: MakeAccount, dovecot: Dovecot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account()
    fill(dovecot, account, 6)
    settings.SYNC_MAX_MESSAGES = 2
    monkeypatch.setattr("mailbox.scheduler.account_turn.GO_ON_SECONDS", 0.0)
    monkeypatch.setattr("mailbox.scheduler.runner.TURN_SECONDS", 0.0)
    now = timezone.now()
    late = RunReport.begin(SyncRun.Trigger.SCHEDULE, None, now).run
    sync_tasks.sync_share(late.pk, now.isoformat(), now.isoformat(), 0, 1)
    assert not stored(account) and not SyncRun.objects.exists()
    turns = set[int]()  # each has a lease of its own
    at_examine(lambda _: turns.add(Lease.objects.get().pk), monkeypatch)
    sync_tasks.sync_tick()
    assert stored(account) == on_server(dovecot, account)
    assert len(turns) == 3
    run = SyncRun.objects.get()
    assert (run.attempted, run.failed, run.folders.get().fetched) == (1, 0, 6)
    assert queued() == [] and not Lease.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", [1, 25], ids=["slices of one", "fewer accounts than a slice"])
def test_a_tick_is_shared_out_to_the_workers_of_all_hosts_and_is_one_run(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Two clusters of two workers each: one of each stays free for what a person waits for."""
    now = timezone.now()
    for pid in (1, 2):
        WorkerHeartbeat.objects.create(host=f"h{pid}", cluster_pid=pid, started_at=now, seen_at=now)
    monkeypatch.setattr(sync_tasks.Conf, "WORKERS", 2)
    monkeypatch.setattr(sync_tasks.runner, "SLICE", most)
    accounts = [make_account() for _ in range(3)]
    take_share, before = sync_tasks.sync_share, list[bool]()

    def other_first(*arguments: Any) -> None:
        """The share that was queued is over before that of the tick's own worker begins."""
        ((name, theirs),) = queued()
        assert (name, theirs[3:], arguments[3:]) == ("mailbox.tasks.sync_share", (1, 2), (0, 2))
        take_share(*theirs)
        before.append(SyncRun.objects.filter(finished_at=None).exists())
        take_share(*arguments)

    monkeypatch.setattr(sync_tasks, "sync_share", other_first)
    sync_tasks.sync_tick()
    run = SyncRun.objects.get()
    assert (run.attempted, run.succeeded, before) == (3, 3, [True])
    assert run.finished_at is not None
    assert all(SyncState.objects.get(account=each).last_success_at for each in accounts)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_over", [True, False])
def test_of_two_shares_that_find_the_same_account_one_looks(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, is_over: bool
) -> None:
    """The second read the line before the first had the account's lease, or before it gave it back."""
    account = make_account()
    fill(dovecot, account, 2)
    next_accounts, reads, looks = account_queue.next_accounts, list[datetime](), list[str]()
    at_examine(lambda session: looks.append("a look"), monkeypatch)

    def meanwhile(now: datetime, since: datetime) -> list[int]:
        found = next_accounts(now, since)
        reads.append(now)
        if len(reads) != 2:  # the first read shares the accounts out, the second is that of the share
            return found
        if is_over:
            run = RunReport.begin(SyncRun.Trigger.SCHEDULE, None, now).run
            sync_tasks.sync_share(run.pk, since.isoformat(), (now + sync_tasks.TICK).isoformat(), 0, 1)
        else:
            Lease.acquire(account.pk, Lease.Purpose.SYNC, "another", seconds=30, now=now, token="theirs")
        return found

    monkeypatch.setattr(account_queue, "next_accounts", meanwhile)
    sync_tasks.sync_tick()
    assert len(looks) == int(is_over)
    assert list(Lease.objects.values_list("token", flat=True)) == ([] if is_over else ["theirs"])
    assert not SyncRun.objects.filter(finished_at=None).exists()


@pytest.mark.parametrize(
    ("accounts", "shares", "most", "first"),
    [
        (1, 1, 25, [[0]]),
        (5, 2, 25, [[0, 1, 2], [3, 4, 0]]),
        (6, 3, 25, [[0, 1], [2, 3], [4, 5]]),
        (6, 2, 2, [[0, 1], [2, 3]]),
        (2, 4, 25, [[0], [1], [0], [1]]),
        (0, 2, 25, [[], []]),
    ],
)
def test_the_shares_begin_with_parts_of_their_own(
    monkeypatch: pytest.MonkeyPatch, accounts: int, shares: int, most: int, first: list[list[int]]
) -> None:
    monkeypatch.setattr(account_queue, "next_accounts", lambda now, since: list(range(accounts)))
    now = timezone.now()
    assert [account_queue.DueAccounts(now, each, shares, most).accounts() for each in range(shares)] == first


@pytest.mark.parametrize("most", [1, 4, 7])
def test_the_shares_of_a_cluster_have_together_the_connections_that_it_may_have(settings: Any, most: int) -> None:
    settings.SYNC_MAX_CONCURRENCY = most
    for shares in range(1, most + 1):  # never more than these: see _shares_of_a_cluster
        each = [sync_tasks._connections_of(share, shares, 1) for share in range(shares)]
        assert sum(each) == most
        assert max(each) - min(each) <= 1


@pytest.mark.parametrize(("most", "shares", "each"), [(4, 3, 2), (4, 1, 4), (7, 4, 2), (1, 1, 1), (20, 7, 3)])
def test_of_several_clusters_each_has_its_connections_with_fewer_shares_than_are_its_part(
    settings: Any, most: int, shares: int, each: int
) -> None:
    settings.SYNC_MAX_CONCURRENCY = most
    assert {sync_tasks._connections_of(share, shares, 2) for share in range(2 * shares)} == {each}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("clusters", [1, 2])
def test_a_share_that_comes_to_a_host_without_a_free_connection_is_passed_on_to_another(
    make_account: MakeAccount, dovecot: Dovecot, settings: Any, monkeypatch: pytest.MonkeyPatch, clusters: int
) -> None:
    """A busy host may take the shares of both hosts from the broker: its third found no slot, and was lost."""
    account, now = make_account(), timezone.now()
    fill(dovecot, account, 2)
    for pid in range(clusters):
        WorkerHeartbeat.objects.create(host=f"h{pid}", cluster_pid=pid, started_at=now, seen_at=now)
    monkeypatch.setattr(sync_tasks, "PASS_SECONDS", 0)
    run = RunReport.begin(SyncRun.Trigger.SCHEDULE, None, now, 1).run
    values = (run.pk, now.isoformat(), (now + sync_tasks.TICK).isoformat(), 0, 1)
    with ExitStack() as held:
        for slot in take_slots("sync", settings.SYNC_MAX_CONCURRENCY, settings.SYNC_MAX_CONCURRENCY):
            held.enter_context(slot)
        sync_tasks.sync_share(*values)
        if clusters == 1:  # nobody else could take it: the next tick syncs what is left
            assert queued() == [] and not SyncRun.objects.exists()
            return
        assert queued() == [("mailbox.tasks.sync_share", (*values, 1))]
        sync_tasks.sync_share(*values, sync_tasks.MOST_PASSES)
        assert len(queued()) == 1
    run = RunReport.begin(SyncRun.Trigger.SCHEDULE, None, now, 1).run
    sync_tasks.sync_share(run.pk, *values[1:], 1)
    assert stored(account) == on_server(dovecot, account)


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


def test_a_cluster_whose_heartbeats_another_takes_says_that_it_lives_before_its_other_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync_tasks, "_said_alive_at", float("-inf"))
    pre_execute.send(sender="django_q", func=len, task={})
    first = WorkerHeartbeat.objects.get().seen_at
    pre_execute.send(sender="django_q", func=len, task={})  # a moment later: not again
    assert WorkerHeartbeat.objects.get().seen_at == first


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
