"""A look without news: when EXAMINE alone is believed, what it writes, and what it costs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mailbox.imap.fetch import Changes, FlagsAndLabels
from mailbox.imap.session import FolderStatus
from mailbox.models import Account, Counter, Folder, Lease, SyncRun, SyncRunFolder, SyncState, Transport
from mailbox.scheduler import runner
from mailbox.scheduler.account_queue import SyncJob
from mailbox.scheduler.runner import run_sync
from mailbox.sync import no_change
from mailbox.sync.flags_and_expunges import COMPARE_EVERY
from mailbox.sync.state_rows import account_by_pk, states_of
from tests.mailbox.sync.quiet import ONCE, MakeAccount, account, at_examine, in_step
from tests.mailbox.sync.synced import fill, on_server, state_of, stored
from tests.servers.dovecot import Dovecot
from tests.servers.ports import wait_until

__all__ = ["account"]
pytestmark = pytest.mark.django_db(transaction=True)


# --- When it is believed ----------------------------------------------------------------------------------------
NOW = timezone.now()
STATUS = FolderStatus(uidvalidity=1, uidnext=6, exists=5, highestmodseq=9)
QRESYNC = replace(STATUS, changes=Changes({}, ()))


def held(**other: Any) -> SyncState:
    given = {
        "uidvalidity": 1, "cursor": 5, "backfill_cursor": 1, "uidnext": 6, "exists": 5, "highestmodseq": 9,
        "compared_at": NOW - timedelta(hours=1), "former_places": False,
    }  # fmt: skip
    has_asked = other.pop("has_asked", False)
    state = SyncState(folder=Folder(name="INBOX", mailbox_id="F1"), **(given | other))
    state.has_asked = has_asked
    return state


def an_account(**transport: Any) -> Account:
    return Account(imap=Transport(**transport))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (held(), STATUS),
        (held(), replace(STATUS, mailbox_id="F1")),
        (held(), QRESYNC),
        (held(failure_count=3, last_error="x", next_allowed_at=NOW), STATUS),
        (
            held(cursor=0, backfill_cursor=None, uidnext=1, exists=0, highestmodseq=None),
            FolderStatus(uidvalidity=1, uidnext=1, exists=0, highestmodseq=None),
        ),
    ],
)
def test_a_server_that_says_what_it_said_has_nothing_new(state: SyncState, status: FolderStatus) -> None:
    assert no_change.nothing_new(an_account(), state, status, NOW)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (held(), replace(STATUS, uidvalidity=2)),
        (held(), replace(STATUS, uidnext=7)),
        (held(), replace(STATUS, uidnext=7, exists=6)),
        (held(), replace(STATUS, uidnext=None)),
        (held(uidnext=None), replace(STATUS, uidnext=None)),
        (held(), replace(STATUS, exists=4)),
        (held(exists=None), STATUS),
        (held(), replace(STATUS, highestmodseq=10)),
        (held(), replace(STATUS, highestmodseq=8)),
        (held(), replace(STATUS, highestmodseq=None)),
        (held(highestmodseq=None), replace(STATUS, highestmodseq=None)),
        (held(), replace(STATUS, mailbox_id="F2")),
        (held(), replace(QRESYNC, highestmodseq=8)),
        (held(), replace(QRESYNC, highestmodseq=10)),
        (held(), replace(QRESYNC, changes=Changes({3: FlagsAndLabels(("\\Seen",))}, ()))),
        (held(), replace(QRESYNC, changes=Changes({}, ((3, 3),)))),
        (held(cursor=4), STATUS),
        (held(backfill_cursor=2), STATUS),
        (held(backfill_cursor=None), STATUS),
        (held(compared_at=None), STATUS),
        (held(compared_at=NOW - COMPARE_EVERY), STATUS),
        (held(more_waiting=True), STATUS),
        (held(news_at=NOW), STATUS),
        (held(stopped_at=NOW), STATUS),
        (held(former_places=True), STATUS),
        (held(renumbered_count=1), STATUS),
        (held(surveyed_uid=7), STATUS),
        (held(has_asked=True), STATUS),
    ],
)
def test_in_doubt_the_whole_run_is_made(state: SyncState, status: FolderStatus) -> None:
    assert not no_change.nothing_new(an_account(), state, status, NOW)


@pytest.mark.parametrize(
    "transport", [{"needs_sign_in_since": NOW}, {"failure_count": 1}, {"last_reply": "x"}, {"next_allowed_at": NOW}]
)
def test_what_a_run_would_clear_on_the_transport_needs_a_run(transport: Any) -> None:
    assert not no_change.nothing_new(an_account(**transport), held(), STATUS, NOW)


def test_what_is_read_by_hand_is_what_the_orm_reads(account: Account) -> None:
    SyncState.objects.update(begun={"7": 2}, news_at=timezone.now(), renumbered_count=2)
    read = account_by_pk(account.pk)
    assert read is not None
    by_orm = Account.objects.select_related("imap").get(pk=account.pk)
    of_folder = SyncState.objects.select_related("folder").get(account=account)
    by_hand = states_of(account, ["INBOX", "none"])["INBOX"]
    for ours, theirs in [
        (read, by_orm), (read.imap, by_orm.imap), (by_hand, of_folder), (by_hand.folder, of_folder.folder),
    ]:  # fmt: skip
        for field in theirs._meta.concrete_fields:
            value = getattr(theirs, field.attname)
            assert (getattr(ours, field.attname), type(getattr(ours, field.attname))) == (value, type(value))
    assert account_by_pk(0) is None


# --- What it writes and costs -----------------------------------------------------------------------------------
def test_a_tick_without_news_keeps_all_that_a_run_keeps(make_account: MakeAccount, dovecot: Dovecot) -> None:
    accounts = [in_step(make_account(), dovecot) for _ in range(5)]
    SyncState.objects.update(failure_count=2, last_error="x", last_error_code="network", last_success_at=None)
    Counter.objects.all().delete()
    began = timezone.now()
    with override_settings(SYNC_MAX_CONCURRENCY=3):
        run = run_sync([SyncJob(each.pk) for each in accounts], 50)
    run.refresh_from_db()
    assert (run.attempted, run.succeeded, run.failed, run.unchanged) == (5, 5, 0, 5)
    assert not SyncRunFolder.objects.filter(run=run).exists()
    for each in accounts:
        state = state_of(each)
        assert state.last_success_at and state.last_success_at >= began
        assert (state.failure_count, state.last_error, state.last_error_code) == (0, "", "")
        assert stored(each) == on_server(dovecot, each)
    counted = dict(Counter.objects.filter(account=accounts[0]).values_list("name", "value"))
    assert counted == {"sync_attempts": 1, "sync_successes": 1}
    assert not Lease.objects.exists()


def test_a_folder_in_which_a_whole_run_finds_nothing_leaves_no_line_either(make_account: MakeAccount) -> None:
    """The first run of an empty folder, and each run on a server without CONDSTORE, which says less of what is new."""
    account = make_account()
    run = run_sync([SyncJob(account.pk)], ONCE)
    assert (run.attempted, run.unchanged, run.folders.count()) == (1, 1, 0)
    assert state_of(account).last_success_at is not None


def test_a_person_who_asked_for_a_run_finds_its_lines_also_without_news(
    account: Account, make_account: MakeAccount
) -> None:
    broken = make_account(imap_port=1)
    began = timezone.now()
    run = run_sync([SyncJob(account.pk), SyncJob(broken.pk)], ONCE, trigger=SyncRun.Trigger.CLICK)
    assert (run.attempted, run.succeeded, run.failed, run.unchanged) == (2, 1, 1, 1)
    line, failed = run.folders.get(account=account), run.folders.get(account=broken)
    assert line.ok and line.folder and line.folder.account_id == account.pk
    assert line.seconds > 0 and line.finished_at >= began
    assert (failed.ok, failed.error_code) == (False, "network")


def test_a_look_costs_few_statements_and_one_commit(account: Account) -> None:
    """And a second account as many more, no more."""
    with CaptureQueriesContext(connection) as queries:
        run_sync([SyncJob(account.pk)], ONCE)
    statements = [query["sql"] for query in queries]
    of_report = [sql for sql in statements if '"sync_runs"' in sql]
    in_turn = [sql for sql in statements if sql not in of_report and not sql.startswith(("BEGIN", "COMMIT"))]
    assert len(in_turn) <= 8, in_turn
    assert not any(
        sql.startswith(('INSERT INTO "sync_run_folders"', 'UPDATE "sync_run_folders"')) for sql in statements
    )


def test_a_slice_is_claimed_by_one_statement_and_written_and_given_back_by_one_each(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [in_step(make_account(), dovecot) for _ in range(3)]
    statements: list[str] = []  # of all threads
    execute = CursorWrapper._execute

    def watched(self: CursorWrapper, sql: str, *given: Any) -> Any:
        statements.append(sql)
        return execute(self, sql, *given)

    monkeypatch.setattr(CursorWrapper, "_execute", watched)
    monkeypatch.setattr(runner, "WRITE_SECONDS", 3600)
    with override_settings(SYNC_MAX_CONCURRENCY=1):
        run = run_sync([SyncJob(each.pk) for each in accounts], 50)

    def count(begin: str) -> int:
        return sum(sql.startswith(begin) for sql in statements)

    assert (run.succeeded, Lease.objects.count()) == (3, 0)
    assert count('INSERT INTO "leases"') == count('DELETE FROM "leases"') == count('UPDATE "sync_state"') == 1
    assert count('INSERT INTO "counters"') == 1


def test_while_a_server_is_slow_the_accounts_before_and_after_are_free(
    make_account: MakeAccount, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's click does not wait for the turns of other accounts. Each server here answers only when that is so."""
    accounts = [in_step(make_account(), dovecot) for _ in range(3)]
    monkeypatch.setattr(runner, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(runner, "CLAIMED_SECONDS", 0)
    began, turns = timezone.now(), list[int]()

    def slow(_: Any) -> None:
        wait_until(lambda: Lease.objects.count() == 1, seconds=30, what="the others' leases to be given back")
        turns.append(Lease.objects.get().account_id)
        assert SyncState.objects.filter(last_success_at__gte=began).count() == len(turns) - 1

    at_examine(slow, monkeypatch)
    with override_settings(SYNC_MAX_CONCURRENCY=1):
        run = run_sync([SyncJob(each.pk) for each in accounts], 50)
    assert (run.succeeded, len(set(turns)), Lease.objects.count()) == (3, 3, 0)


def test_news_after_a_quiet_look_are_fetched_as_ever(account: Account, dovecot: Dovecot) -> None:
    run_sync([SyncJob(account.pk)], ONCE)
    fill(dovecot, account, 2, first=3)
    dovecot.store(account.email, "INBOX", "1", "\\Flagged")
    assert run_sync([SyncJob(account.pk)], ONCE).folders.get().fetched == 2
    assert stored(account) == on_server(dovecot, account)
