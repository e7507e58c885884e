"""After trouble with the database, or the death of a worker: what lives goes on or gives back, what is dead is taken
up within a minute."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.test import override_settings
from django.utils import timezone

from mailbox.leases.keep_alive import BEAT_SECONDS, LEASE_SECONDS, KeepAlive, keep_alive
from mailbox.models import Account, Lease, SyncRun, SyncRunFolder
from mailbox.scheduler import report, results, runner
from mailbox.scheduler.account_queue import SyncJob
from mailbox.scheduler.runner import run_sync
from mailbox.sync import folder_sync
from mailbox.sync.account_session import signed_in
from mailbox.tasks import sync as sync_tasks
from tests.mailbox.sync.quiet import ONCE, WHERE, MakeAccount, account, at_examine, in_step, take_database_away
from tests.mailbox.sync.synced import fill, on_server, stored
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until

__all__ = ["account"]
pytestmark = pytest.mark.django_db(transaction=True)


class Clock:
    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now


def take(account: Account, now: datetime) -> str | None:
    return Lease.acquire(account.pk, Lease.Purpose.SYNC, "another", seconds=LEASE_SECONDS, now=now)


def test_a_living_process_keeps_its_lease_however_long_a_command_lasts(account: Account) -> None:
    clock = Clock()
    with signed_in(account, clock):
        for _ in range(5):
            clock.now += timedelta(seconds=LEASE_SECONDS - 1)
            assert keep_alive.beat()
            assert take(account, clock.now + timedelta(seconds=LEASE_SECONDS - 1)) is None
    assert not Lease.objects.exists()


def test_a_lease_that_another_took_is_not_renewed_by_the_one_that_slept(account: Account) -> None:
    clock = Clock()
    with signed_in(account, clock):
        clock.now += timedelta(seconds=LEASE_SECONDS)
        assert take(account, clock.now)
        theirs = Lease.objects.get()
        clock.now += timedelta(seconds=1)
        keep_alive.beat()
        assert Lease.objects.get().expires_at == theirs.expires_at
    assert Lease.objects.get().token == theirs.token


def test_what_a_dead_worker_had_is_taken_up_within_a_minute(
    account: Account, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute until the lease ends, and at most as long again until the next heartbeat of any cluster."""
    queued: list[str] = []
    monkeypatch.setattr(sync_tasks, "queue", lambda name, *_, **__: queued.append(name))
    assert take(account, timezone.now())
    run = SyncRun.objects.create()
    SyncRunFolder.objects.create(run=run, account=account, folder_name="INBOX", ok=True, fetched=3)
    sync_tasks.beat()
    assert (queued, Lease.objects.count()) == ([], 1)
    later = timezone.now() + timedelta(seconds=60)
    monkeypatch.setattr(sync_tasks.timezone, "now", lambda: later)
    sync_tasks.beat()
    assert (queued, Lease.objects.count()) == (["mailbox.tasks.sync_tick"], 0)
    run.refresh_from_db()
    assert (run.finished_at, run.attempted, run.succeeded, run.failed) == (run.seen_at, 1, 1, 0)
    fill(dovecot, account, 1, first=9)
    sync_tasks.sync_tick()
    assert stored(account) == on_server(dovecot, account)


def test_a_run_that_lives_is_not_ended_by_another() -> None:
    now = timezone.now()
    begun = report.RunReport.begin("schedule", None, now - timedelta(minutes=9))
    begun.say_it_goes_on()
    assert report.end_abandoned(now) == 0
    assert report.end_abandoned(now + timedelta(seconds=61)) == 1
    assert report.end_abandoned(now + timedelta(seconds=61)) == 0


def test_a_database_that_comes_back_after_the_run_gets_the_lease_and_the_runs_end(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away from the server's answer until all is over, longer than any try of the run's own."""
    back: list[Callable[[], None]] = []
    at_examine(lambda _: back.append(take_database_away()), monkeypatch)
    monkeypatch.setattr(results, "LAST_TRIES", 1)
    if connection.vendor == "postgresql":  # which takes connections again at once: so it is kept away
        at_examine(lambda _: monkeypatch.setattr(type(connection), "get_new_connection", refused), monkeypatch)
    else:
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.02)
    run_sync([SyncJob(account.pk)], ONCE)
    monkeypatch.undo()
    connection.close()
    back.pop()()
    assert keep_alive.beat()
    assert not Lease.objects.exists()
    assert not SyncRun.objects.filter(finished_at=None).exists()


def refused(self: object, parameters: Any) -> Any:
    raise OperationalError("the database system is shutting down")


def test_accounts_whose_connections_to_the_database_all_end_at_once_are_free_when_the_run_is_over(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL ends them when it is restarted."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server that could be restarted")
    accounts = [in_step(make_account(), dovecot) for _ in range(3)]
    for each in accounts:
        fill(dovecot, each, 2, first=9)
    ended: list[int] = []

    def restart(_: object) -> None:
        if len(ended) < 3:
            ended.append(end_all_connections())

    at_examine(restart, monkeypatch)
    with override_settings(SYNC_MAX_CONCURRENCY=3):
        run_sync([SyncJob(each.pk) for each in accounts], 5)
    connection.close()
    keep_alive.beat()
    assert max(ended) >= 3  # each thread's own, at least
    assert not Lease.objects.exists()
    assert not SyncRun.objects.filter(finished_at=None).exists()
    monkeypatch.undo()
    for each in accounts:
        assert folder_sync.sync(each.pk).ok
        assert stored(each) == on_server(dovecot, each)


def end_all_connections() -> int:
    where = {key: value for key, value in connection.get_connection_params().items() if key in WHERE}
    with psycopg.connect(**where, autocommit=True) as other:
        found = other.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        ).fetchall()
    return len(found)


def test_what_cannot_be_done_at_once_is_done_when_the_trouble_is_over_and_then_no_more() -> None:
    alive, answers = KeepAlive(), [OperationalError("away"), OperationalError("away"), None]
    done: list[object] = []

    def act() -> bool:
        done.append(answer := answers[len(done)])
        if answer:
            raise answer
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KeepAlive, "_run", lambda _: None)  # the beats are the test's
        alive.do_until_done(act)
        assert (alive.beat(), alive.beat(), alive.beat()) == (False, True, True)
    assert len(done) == 3


def test_three_beats_fit_into_a_lease_and_a_run_is_silent_for_longer_than_one() -> None:
    assert BEAT_SECONDS * 3 < LEASE_SECONDS <= 30
    assert timedelta(seconds=2 * BEAT_SECONDS) < report.SILENT_AFTER
    assert runner.TURN_SECONDS < LEASE_SECONDS


def test_a_claim_that_the_database_ended_to_end_a_deadlock_is_made_again(account: Account) -> None:
    ended = list[str]()

    def end(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith('INSERT INTO "leases"') and len(ended) < 2:
            ended.append(sql)
            raise OperationalError("deadlock detected") from psycopg.errors.DeadlockDetected()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(end):
        assert take(account, timezone.now()) and len(ended) == 2
        ended[:] = []
        with transaction.atomic(), pytest.raises(OperationalError):  # all of the transaction is lost
            take(account, timezone.now())


def test_who_gives_back_leases_locks_them_in_the_order_in_which_they_are_taken(make_account: MakeAccount) -> None:
    """Else one that takes several and one that gives several back lock each other out."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks the database, not rows")
    accounts = sorted(
        (make_account(imap_host="127.0.0.1", imap_port=1, smtp_host="127.0.0.1", smtp_port=1) for _ in range(2)),
        key=lambda each: each.pk,
    )
    held = [(each.pk, take(each, timezone.now()) or "") for each in reversed(accounts)]  # as they lie in the table

    def give_back() -> set[int]:
        try:
            return Lease.release_all(held, Lease.Purpose.SYNC)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            rows = Lease.objects.select_for_update(nowait=True)
            rows.get(account=accounts[0])
            given_back = pool.submit(give_back)
            wait_until(someone_waits_for_us, seconds=30, what="the other to wait")
            rows.get(account=accounts[1])
        assert given_back.result(30) == {each.pk for each in accounts}


def someone_waits_for_us() -> bool:
    """Not whether anybody waits: other tests do on the same server. pg_stat_activity, which names the database, is read
    once a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])
