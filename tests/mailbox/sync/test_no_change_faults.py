"""A look without news, and a fault at any instant: what is left is right, and the next look goes on from it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django.utils import timezone

from mailbox.imap.session import ImapSession
from mailbox.models import Account, Lease, SyncRun, SyncRunFolder
from mailbox.scheduler import results, runner
from mailbox.scheduler.account_queue import SyncJob
from mailbox.scheduler.runner import run_sync
from mailbox.sync import folder_sync, no_change
from tests.mailbox.sync.quiet import ONCE, MakeAccount, account, at_examine, due_jobs, in_step, take_database_away
from tests.mailbox.sync.synced import fill, on_server, state_of, stored
from tests.servers.dovecot import Dovecot
from tests.servers.site import ROOT, environment

__all__ = ["account"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_lease_lost_in_between_leaves_the_folder_to_the_other(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(account).last_success_at
    at_examine(lambda _: Lease.objects.update(token="theirs"), monkeypatch)
    run = run_sync([SyncJob(account.pk)], ONCE)
    assert (run.attempted, run.folders.count()) == (0, 0)
    assert state_of(account).last_success_at == before
    assert Lease.objects.get().token == "theirs"


def test_a_single_look_whose_lease_was_lost_says_busy(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state_of(account).last_success_at
    at_examine(lambda _: Lease.objects.update(token="theirs"), monkeypatch)
    assert folder_sync.sync(account.pk).error_code == "busy"
    assert state_of(account).last_success_at == before


def test_one_account_that_cannot_be_written_is_told_and_fails_no_other(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [in_step(make_account(), dovecot) for _ in range(3)]
    unlucky, write, began = accounts[1], no_change.write, timezone.now()

    def buggy(found: Mapping[int, Any]) -> None:
        write(found)
        if unlucky.pk in found:
            raise ZeroDivisionError

    monkeypatch.setattr(no_change, "write", buggy)
    with override_settings(SYNC_MAX_CONCURRENCY=1):
        run = run_sync([SyncJob(each.pk) for each in accounts], 50)
    lines = {line.account_id: line for line in run.folders.all()}
    assert (run.attempted, run.succeeded, lines[unlucky.pk].error_code) == (3, 2, "internal")
    assert "ZeroDivisionError" in caplog.text
    for each in accounts:
        state = state_of(each)
        assert state.last_success_at is not None
        assert (state.last_success_at >= began, state.failure_count) == ((each != unlucky), int(each == unlucky))
    assert not Lease.objects.exists()


def test_a_database_that_is_away_when_a_turn_ends_is_waited_for(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's answer has come; then SQLite is locked by another, or PostgreSQL ends our connection."""
    began, comes_back = timezone.now(), take_database_away
    back: list[Callable[[], None]] = []
    at_examine(lambda _: back.append(comes_back()), monkeypatch)
    monkeypatch.setattr(results.time, "sleep", lambda _: back.pop()() if back else None)
    run = run_sync([SyncJob(account.pk)], ONCE)
    assert not back or connection.vendor == "postgresql"  # which is there again at once: nothing to wait for
    state = state_of(account)
    assert state.last_success_at and state.last_success_at >= began
    assert (run.succeeded, run.unchanged, Lease.objects.count()) == (1, 1, 0)


def test_what_cannot_be_written_for_long_is_given_up_and_its_lease_given_back(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(account).last_success_at
    monkeypatch.setattr(no_change, "write", away)
    monkeypatch.setattr(results, "AGAIN_SECONDS", 0)
    run = run_sync([SyncJob(account.pk)], ONCE)
    assert (run.attempted, state_of(account).last_success_at) == (0, before)
    assert not Lease.objects.exists()


def test_an_account_that_is_deleted_while_its_server_answers_stops_no_other(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gone, stays = [in_step(make_account(), dovecot) for _ in range(2)]
    at_examine(lambda _: Account.objects.filter(pk=gone.pk).delete(), monkeypatch)
    with override_settings(SYNC_MAX_CONCURRENCY=1):
        run = run_sync([SyncJob(gone.pk), SyncJob(stays.pk)], 50)
    assert (run.attempted, run.succeeded, run.unchanged) == (1, 1, 1)
    assert not Lease.objects.exists()
    assert "sync_crashed" not in caplog.text


def away(*_: Any, **__: Any) -> bool:
    raise OperationalError("the database is away")


def test_accounts_that_cannot_be_claimed_as_the_database_is_away_stay_due(
    make_account: MakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [make_account(), make_account()]
    monkeypatch.setattr(Lease, "acquire_all", away)
    run = run_sync([SyncJob(each.pk) for each in accounts], ONCE)
    assert (run.attempted, run.failed) == (0, 0)
    assert {job.account_id for job in due_jobs(timezone.now())} == {each.pk for each in accounts}


def test_a_claim_whose_commit_was_not_heard_of_is_ours_all_the_same(account: Account) -> None:
    now, purpose = timezone.now(), Lease.Purpose.SYNC

    def take(token: str, at: datetime = now) -> str | None:
        return Lease.acquire(account.pk, purpose, "here", seconds=60, now=at, token=token)

    assert (take("one"), take("one"), take("two")) == ("one", "one", None)
    assert take("two", now + timedelta(seconds=60)) == "two"
    assert (Lease.release(account.pk, purpose, "one"), Lease.release(account.pk, purpose, "two")) == (False, True)


WORKER = """
import django, os, signal, sys
django.setup()
from django.test import override_settings
from mailbox.imap.session import FolderStatus, ImapSession
from mailbox.models import Lease
from mailbox.scheduler import account_queue, runner
from mailbox.scheduler import account_queue, results
from mailbox.scheduler.results import Results
from mailbox.sync import no_change, state_rows
calls = 0
step = {step}
def die():
    os.kill(os.getpid(), signal.SIGKILL)
def stop(*args, **kwargs):
    global calls
    calls += 1
    {is_after} or calls < {call} or die()
    answer = step(*args, **kwargs)
    {is_after} and calls >= {call} and die()
    return answer
{step} = stop
with override_settings(SYNC_MAX_CONCURRENCY=1):
    runner.run_sync([account_queue.SyncJob(int(pk)) for pk in sys.argv[1:]], 0)
"""
STAGES = {
    "when the accounts are claimed": ("Lease.acquire_all", 1, True),
    "when the server has answered": ("ImapSession.examine", 1, True),
    "with the first account looked at and the second not read": ("state_rows.account_by_pk", 2, False),
    "with what was found half written": ("no_change.write", 1, True),
    "with the leases given back and nothing written": ("Lease.release_all", 1, True),
    "before the commit": ("results._commit", 1, False),
    "after the commit": ("results._commit", 1, True),
    "before the last is written": ("Results.write_last", 1, False),
    "after the last is written": ("Results.write_last", 1, True),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.in_part(4)
def test_a_worker_killed_at_any_instant_leaves_states_behind_and_leases_that_run_out(
    make_account: MakeAccount, dovecot: Dovecot, stage: str
) -> None:
    accounts = [in_step(make_account(), dovecot) for _ in range(2)]
    began = timezone.now()
    step, call, is_after = STAGES[stage]
    code = WORKER.format(step=step, call=call, is_after=is_after)
    command = [sys.executable, "-c", code, *(str(each.pk) for each in accounts)]
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for each in accounts:
        has_lease = Lease.objects.filter(account=each).exists()
        is_written = (state_of(each).last_success_at or began) > began
        assert not SyncRunFolder.objects.filter(account=each, run__finished_at=None).exists()
        assert not (is_written and has_lease)
    Lease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    fill(dovecot, accounts[0], 1, first=9)
    assert run_sync([SyncJob(each.pk) for each in accounts], ONCE).succeeded == 2
    for each in accounts:
        assert stored(each) == on_server(dovecot, each)


def test_a_turn_that_is_told_to_end_gives_its_lease_back(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's time-out is a SystemExit in the middle of whatever is being done."""

    def timed_out(_: ImapSession) -> None:
        raise SystemExit

    at_examine(timed_out, monkeypatch)
    with pytest.raises(SystemExit):
        run_sync([SyncJob(account.pk)], ONCE)
    assert not Lease.objects.exists()


def test_a_time_out_lets_the_turn_under_way_end_and_frees_those_that_wait(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes on the thread that waits for the others, in the middle of the first account's turn."""
    accounts = [in_step(make_account(), dovecot) for _ in range(3)]
    began, answered, stopped = timezone.now(), threading.Event(), threading.Event()
    leave = runner.ThreadPoolExecutor.__exit__

    def timed_out(*_: Any) -> Any:
        assert answered.wait(30)
        raise SystemExit

    def leaving(*given: Any) -> Any:
        stopped.set()
        return leave(*given)

    def answer(_: ImapSession) -> None:
        answered.set()
        assert stopped.wait(30)

    monkeypatch.setattr(runner, "wait", timed_out)
    at_examine(answer, monkeypatch)
    monkeypatch.setattr(runner.ThreadPoolExecutor, "__exit__", leaving)
    with pytest.raises(SystemExit), override_settings(SYNC_MAX_CONCURRENCY=1):
        run_sync([SyncJob(each.pk) for each in accounts], 50)
    looked_at = [each for each in accounts if (state_of(each).last_success_at or began) > began]
    assert looked_at == accounts[:1]
    assert not Lease.objects.exists()
    assert not SyncRun.objects.filter(finished_at=None).exists()
