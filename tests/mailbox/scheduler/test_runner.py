"""Runs: many accounts, each alone, with backoff and a report."""

import logging
from collections.abc import Callable
from datetime import timedelta
from math import inf
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from mailbox import jitter
from mailbox.models import Account, Folder, Lease, Message, SyncRun, SyncState
from mailbox.scheduler.account_queue import SyncJob, jobs_of
from mailbox.scheduler.report import RunReport
from mailbox.scheduler.runner import run_sync
from mailbox.sync import folder_sync
from mailbox.sync.account_session import backoff_wait
from mailbox.sync.outcome import SyncOutcome
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.sync.quiet import due_jobs
from tests.mailbox.sync.synced import fill, mail, on_server, stored
from tests.servers.dovecot import Dovecot

MakeAccount = Callable[..., Account]
ONCE = 0


@pytest.mark.django_db(transaction=True)
def test_a_broken_account_beside_a_good_one_stops_nothing(make_account: MakeAccount, dovecot: Dovecot) -> None:
    good, broken, refused = make_account(), make_account(imap_port=1), make_account(imap_password="wrong")
    fill(dovecot, good, 3)
    run = run_sync([SyncJob(account.pk) for account in (broken, refused, good)], ONCE)
    assert (run.attempted, run.succeeded, run.failed) == (3, 1, 2)
    lines = {line.account_id: line for line in run.folders.all()}
    assert (lines[good.pk].ok, lines[good.pk].fetched) == (True, 3)
    assert lines[good.pk].bytes > 0
    assert lines[broken.pk].error_code == "network"
    assert lines[refused.pk].error_code == "sign_in"
    assert stored(good) == on_server(dovecot, good)
    assert SyncRun.objects.get().finished_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_bug_in_one_account_is_told_with_its_account_and_stops_no_other(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good, unlucky = make_account(), make_account()
    fill(dovecot, good, 1)
    sync_folder = folder_sync.sync_folder

    def buggy(session, *args, **kwargs):  # type: ignore[no-untyped-def]
        if session.account.pk == unlucky.pk:
            raise ZeroDivisionError
        return sync_folder(session, *args, **kwargs)

    monkeypatch.setattr(folder_sync, "sync_folder", buggy)
    with caplog.at_level(logging.ERROR, logger="mailbox.scheduler.runner"):
        run = run_sync([SyncJob(unlucky.pk), SyncJob(good.pk)], ONCE)
    assert run.folders.get(account=unlucky).error_code == "internal"
    assert run.folders.get(account=good).ok
    assert "ZeroDivisionError" in caplog.text
    assert not Lease.objects.exists()


@pytest.mark.django_db
def test_a_large_folder_is_fetched_to_its_end_within_the_budget(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 7)
    run = run_sync([SyncJob(account.pk, "INBOX", 2)], inf)
    line = run.folders.get()
    assert (line.fetched, line.note, run.attempted) == (7, "", 1)
    assert stored(account) == on_server(dovecot, account)


@pytest.mark.django_db
def test_without_time_each_job_has_its_one_round(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 5)
    run = run_sync([SyncJob(account.pk, "INBOX", 2)], ONCE)
    assert run.folders.get().fetched == 2
    assert "More is waiting" in run.folders.get().note


@pytest.mark.django_db
def test_backoff_doubles_to_its_maximum_and_a_success_resets_it(make_account: MakeAccount, settings: Any) -> None:
    account = make_account(imap_port=1)
    settings.SYNC_BASE_BACKOFF_SECONDS, settings.SYNC_MAX_BACKOFF_SECONDS = 10, 30
    now = timezone.now()
    waits = []
    for _ in range(4):
        run_sync([SyncJob(account.pk)], ONCE, now=now)
        state = SyncState.objects.get(account=account)
        assert state.next_allowed_at is not None
        waits.append((state.next_allowed_at - now).total_seconds())
        account.imap.refresh_from_db()
        now = max(state.next_allowed_at, account.imap.next_allowed_at or now)
    for wait, whole in zip(waits, [10, 20, 30, 30], strict=True):
        assert 0.8 * whole <= wait <= whole


@pytest.mark.django_db
def test_a_folder_in_backoff_is_left_alone_by_push_and_schedule_and_not_by_a_person(
    make_account: MakeAccount, dovecot: Dovecot
) -> None:
    account = make_account()
    folder = Folder.objects.create(account=account, name="INBOX", sync_enabled=True)
    now = timezone.now()
    state = SyncState.objects.create(
        account=account, folder=folder, next_allowed_at=now + timedelta(seconds=9), failure_count=3
    )
    sync_tasks.sync_pushed(account.pk)
    assert not SyncRun.objects.exists()
    assert due_jobs(now) == []
    assert run_sync(jobs_of(account.pk), ONCE, trigger=SyncRun.Trigger.CLICK).succeeded == 1
    state.refresh_from_db()
    assert (state.failure_count, state.next_allowed_at) == (0, None)
    assert len(due_jobs(now)) == 1


@pytest.mark.django_db
def test_a_refused_sign_in_is_tried_once_an_hour_and_at_once_with_other_credentials(make_account: MakeAccount) -> None:
    account = make_account(imap_password="wrong")
    now = timezone.now()
    run_sync(due_jobs(now), ONCE, now=now)
    assert due_jobs(now + timedelta(minutes=59)) == []
    assert len(due_jobs(now + timedelta(minutes=60))) == 1
    account.imap.refresh_from_db()
    account.imap.needs_sign_in_since = None
    account.imap.save()
    assert len(due_jobs(now)) == 1


@pytest.mark.django_db
def test_what_is_due_is_chosen_switched_on_and_there(make_account: MakeAccount) -> None:
    account, off, unknown = make_account(), make_account(sync_enabled=False), make_account()
    for owner in (account, off):
        Folder.objects.create(account=owner, name="INBOX", sync_enabled=True)
    Folder.objects.create(account=account, name="Sent", sync_enabled=False)
    Folder.objects.create(account=account, name="Old", sync_enabled=True, gone_at=timezone.now())
    due = {(job.account_id, job.folder) for job in due_jobs(timezone.now())}
    assert due == {(account.pk, "INBOX"), (unknown.pk, "INBOX")}


@pytest.mark.django_db
def test_an_account_that_another_worker_syncs_is_left_to_it(make_account: MakeAccount) -> None:
    account = make_account()
    Lease.acquire(account.pk, Lease.Purpose.SYNC, "another", seconds=60, now=timezone.now())
    run = run_sync([SyncJob(account.pk)], ONCE)
    assert (run.attempted, run.failed) == (0, 0)


@pytest.mark.django_db
def test_folders_are_listed_once_a_day(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    dovecot.create_folder(account.email, "Sent")
    run_sync([SyncJob(account.pk)], ONCE)
    assert set(account.folders.values_list("name", "sync_enabled")) >= {("INBOX", True), ("Sent", False)}
    dovecot.create_folder(account.email, "Later")
    run_sync([SyncJob(account.pk)], ONCE)
    assert not account.folders.filter(name="Later").exists()
    run_sync([SyncJob(account.pk)], ONCE, now=timezone.now() + timedelta(days=1, minutes=1))
    assert account.folders.filter(name="Later").exists()


@pytest.mark.django_db(transaction=True)
def test_an_account_is_never_synced_by_two_at_once(make_account: MakeAccount, dovecot: Dovecot) -> None:
    accounts = [make_account() for _ in range(3)]
    for account in accounts:
        dovecot.create_folder(account.email, "Sent")
        fill(dovecot, account, 2)
        dovecot.append(account.email, "Sent", mail(9))
    jobs = [SyncJob(account.pk, folder, 1) for folder in ("INBOX", "Sent") for account in accounts]
    with override_settings(SYNC_MAX_CONCURRENCY=4):
        run = run_sync(jobs, inf)
    assert (run.attempted, run.succeeded) == (6, 6)
    assert Message.objects.count() == 9


@pytest.mark.django_db(transaction=True)
def test_inbox_is_one_folder_in_whatever_case_it_is_asked_for(make_account: MakeAccount, dovecot: Dovecot) -> None:
    account = make_account()
    fill(dovecot, account, 2)
    run = run_sync([SyncJob(account.pk, "inbox"), SyncJob(account.pk, "Inbox")], ONCE)
    assert (run.attempted, run.folders.get().folder_name) == (1, "INBOX")
    assert folder_sync.sync(account.pk, "InBox").ok
    assert account.folders.get().name == "INBOX"
    assert stored(account) == on_server(dovecot, account)


@pytest.mark.django_db(transaction=True)
def test_a_run_ends_though_an_account_was_deleted_after_its_turn(make_account: MakeAccount) -> None:
    now, deleted, there = timezone.now(), make_account(), make_account()
    report = RunReport.begin(SyncRun.Trigger.CLICK, None, now)
    for account in (deleted, there):
        folder = account.folders.create(name="INBOX")
        report.add(account.pk, "INBOX", SyncOutcome(folder_id=folder.pk, unchanged_at=now))
    deleted.delete()
    report.finish(now)
    run = SyncRun.objects.get()
    assert (run.finished_at, [line.account_id for line in run.folders.all()]) == (now, [there.pk])


def test_the_backoff_never_undercuts_what_the_server_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jitter, "JITTER", 0)
    assert [backoff_wait(failures) for failures in (0, 1, 4, 5, 5000)] == [10, 20, 160, 300, 300]
    assert backoff_wait(0, stated=900.5) == 900.5
